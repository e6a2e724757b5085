"""Options that every network of a stack may have its own value of."""


def per_network(name: str, value: float | list[float], networks: int, zero: bool = False) -> list[float]:
    """One value for each of N networks, from one for all or a list; `zero` allows 0.

    Raises:
        ValueError: another number of values, or one that is infinite, negative, or 0 where that is not allowed.
    """
    values = [float(v) for v in value] if isinstance(value, list) else [float(value)] * networks
    if len(values) != networks:
        raise ValueError(f"{name} holds {len(values)} values for {networks} networks; give one, or one per network")
    for v in values:
        if not (0 < v < float("inf") or (zero and v == 0)):
            raise ValueError(f"{name} must be finite and {'not negative' if zero else 'positive'}, found {v:g}")
    return values
