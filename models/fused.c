/* Many updates of one small deep linear network while it lies in the cache: models/population.py, written out.
 *
 * All matrices are n x n, row by row, n a multiple of 8 (padded with zeros, which stay zero). Vectors are the
 * compiler's, so that this is plain C for every processor. Compiled with REAL = float or double.
 */
#include <stddef.h>
#include <string.h>

typedef REAL real;
typedef real vector __attribute__((vector_size(32), aligned(sizeof(real)), may_alias));
enum { WIDTH = 32 / sizeof(real) };

/* Without this the compiler reads a row of B anew for every row of A, and waits for the cache. */
#if defined(__AVX__)
#define IN_REGISTER(a) __asm__("" : "+x"(a))
#else
#define IN_REGISTER(a)
#endif

/* C <- keep C + factor op(A) B for 4 rows of C from i on and `vectors` vectors of columns from j on; op(A)[i, k] is
 * A[i * row + k * column]. */
static inline __attribute__((always_inline)) void tile(real *C, real keep, real factor, const real *A, int row, int column,
                                                       const real *B, int n, int i, int j, const int vectors) {
    vector sum[4][2] = {0};
    for (int k = 0; k < n; k++) {
        vector b[2];
        for (int v = 0; v < vectors; v++) {
            b[v] = *(const vector *)(B + k * n + j + v * WIDTH);
            IN_REGISTER(b[v]);
        }
        for (int r = 0; r < 4; r++)
            for (int v = 0; v < vectors; v++) sum[r][v] += A[(i + r) * row + k * column] * b[v];
    }
    for (int r = 0; r < 4; r++)
        for (int v = 0; v < vectors; v++) {
            vector *out = (vector *)(C + (i + r) * n + j + v * WIDTH);
            *out = keep == 0 ? factor * sum[r][v] : keep * *out + factor * sum[r][v];
        }
}

/* C <- keep C + factor op(A) B. C is neither A nor B. */
static inline __attribute__((always_inline)) void multiply(real *C, real keep, real factor, const real *A, int row,
                                                           int column, const real *B, int n) {
    for (int i = 0; i < n; i += 4) {
        int j = 0;
        for (; j + 2 * WIDTH <= n; j += 2 * WIDTH) tile(C, keep, factor, A, row, column, B, n, i, j, 2);
        for (; j < n; j += WIDTH) tile(C, keep, factor, A, row, column, B, n, i, j, 1);
    }
}

/* A B and A^T B */
static void product(real *C, const real *A, const real *B, int n) { multiply(C, 0, 1, A, n, 1, B, n); }
static void transposed_product(real *C, const real *A, const real *B, int n) { multiply(C, 0, 1, A, 1, n, B, n); }
/* C <- keep C - rate A B */
static void step(real *C, real keep, real rate, const real *A, const real *B, int n) {
    multiply(C, keep, -rate, A, n, 1, B, n);
}

static void transpose(real *out, const real *in, int n) {
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < n; j += 8)
            for (int r = 0; r < 8; r++)
                for (int c = 0; c < 8; c++) out[(i + r) * n + j + c] = in[(j + c) * n + i + r];
}

/* sum of a[i] b[i] */
static double inner(const real *a, const real *b, size_t size) {
    double sum = 0;
    for (size_t i = 0; i < size; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* `updates` updates of each of networks `first` to `last`: w <- keep w - rate gradient.
 *
 * W            depth + 1 pointers to N x n x n numbers each: the layers, then the head V
 * Sxx,Syx,Syy  n x n; `stride` numbers to the next network's, 0 where all share them
 * rate, keep   N x (depth + 1)
 * latent       1: the target is Wbar y (JEPA), 0: y (MAE)
 * losses       N: the loss before the last update
 * room         (depth + 4) x n x n numbers of scratch
 */
void train(real *const *W, const real *Sxx, const real *Syx, const real *Syy, size_t stride, const real *rate,
           const real *keep, int first, int last, int depth, int n, int latent, int updates, real *losses, real *room) {
    const size_t size = (size_t)n * n;
    real *partial = room; /* W_1 is its own; W_2 W_1, ..., Wbar */
    real *VW = room + depth * size, *R = VW + size, *G = R + size, *other = G + size;
    for (int network = first; network < last; network++) {
        const size_t at = network * size, data = network * stride;
        const real *rates = rate + network * (depth + 1), *keeps = keep + network * (depth + 1);
        real *W_1 = W[0] + at, *V = W[depth] + at;
        for (int update = 0; update < updates; update++) {
            const real *Wbar = W_1;
            for (int l = 1; l < depth; l++) {
                product(partial + l * size, W[l] + at, Wbar, n);
                Wbar = partial + l * size;
            }
            product(VW, V, Wbar, n);
            if (latent)
                product(R, Wbar, Syx + data, n);
            else
                memcpy(R, Syx + data, size * sizeof(real));
            double cross = update == updates - 1 ? inner(VW, R, size) : 0;
            multiply(R, -1, 1, VW, n, 1, Sxx + data, n); /* R = V Wbar Sxx - T Syx */
            if (update == updates - 1) {
                double own = 0;
                if (latent) {
                    product(G, Wbar, Syy + data, n);
                    own = inner(Wbar, G, size);
                } else
                    for (int i = 0; i < n; i++) own += Syy[data + i * n + i];
                losses[network] = (inner(VW, R, size) - cross + own) / 2;
            }
            transposed_product(G, V, R, n);
            transpose(VW, Wbar, n);
            step(V, keeps[depth], rates[depth], R, VW, n);
            for (int l = depth - 1; l > 0; l--) { /* G = gradient with respect to W_l ... W_1, W_1 the first */
                transposed_product(other, W[l] + at, G, n);
                transpose(VW, l > 1 ? partial + (l - 1) * size : W_1, n);
                step(W[l] + at, keeps[l], rates[l], G, VW, n);
                real *swap = G;
                G = other;
                other = swap;
            }
            for (size_t i = 0; i < size; i++) W_1[i] = keeps[0] * W_1[i] - rates[0] * G[i];
        }
    }
}
