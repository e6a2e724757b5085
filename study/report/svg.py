"""What of an SVG may go into the page: what matplotlib draws with, and nothing that acts, loads or styles anything else."""

import re
import xml.etree.ElementTree as ElementTree

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
HREF = f"{{{XLINK}}}href"
ELEMENTS = {
    f"{{{SVG}}}{name}" for name in ("svg", "g", "defs", "use", "path", "clipPath", "rect", "image", "text", "tspan", "style")
}
ATTRIBUTES = {"id", "d", "x", "y", "width", "height", "transform", "viewBox", "version", "style", "clip-path", HREF}
PROPERTIES = re.compile(r"(fill|stroke|font)(-[a-z]+)*|opacity|text-anchor|image-rendering")
SHEET = "*{stroke-linejoin: round; stroke-linecap: butt}"  # the one that matplotlib writes; it acts on the whole page

for prefix, namespace in (("", SVG), ("xlink", XLINK)):
    ElementTree.register_namespace(prefix, namespace)


def sanitised(text: str) -> str:
    """The SVG without all that is not on the lists.

    Raises:
        ValueError: it is no SVG, or declares entities.
    """
    if "<!DOCTYPE" in text:
        raise ValueError("a figure with a DOCTYPE, which may declare entities; delete the folder cache and make the page again")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"a figure that is not XML ({error}); delete the folder cache and make the page again") from error
    if root.tag != f"{{{SVG}}}svg":
        raise ValueError(f"expected a figure in SVG, found {root.tag}; delete the folder cache and make the page again")
    for element in list(root.iter()):
        _clean(element)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element) -> None:
    for name, value in list(element.attrib.items()):
        kept = _style(value) if name == "style" else value
        if name in ATTRIBUTES and _harmless(element.tag, name, kept):
            element.set(name, kept)
        else:
            del element.attrib[name]
    for child in list(element):
        if child.tag not in ELEMENTS or (child.tag.endswith("}style") and child.text != SHEET):
            element.remove(child)


def _harmless(tag: str, name: str, value: str) -> bool:
    """Whether an attribute refers to nothing but a part of its own figure, or an image within it."""
    if name == HREF:
        return value.startswith("#") or (tag.endswith("}image") and value.startswith("data:image/png;base64,"))
    return "url(" not in value.lower() or re.fullmatch(r"url\(#\w+\)", value) is not None


def _style(value: str) -> str:
    """The declarations that colour lines, areas and letters."""
    declarations = [part.strip() for part in value.split(";")]
    fine = [part for part in declarations if PROPERTIES.fullmatch(part.partition(":")[0].strip())]
    return "; ".join(part for part in fine if re.fullmatch(r"[\w\s:.,#%'\"()+-]*", part) and "url" not in part.lower())
