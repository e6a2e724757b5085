/* Many updates of one small deep linear network while it lies in the cache: models/population.py, written out.
 *
 * All matrices are n x n, row by row, n a multiple of 16 (padded with zeros, which stay zero). Vectors of 8 numbers are the
 * compiler's, so that this is plain C for every processor.
 */
#include <stddef.h>
#include <string.h>

typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));

/* Without this the compiler reads a row of B anew for every row of A, and waits for the cache. */
#if defined(__AVX__)
#define IN_REGISTER(a) __asm__("" : "+x"(a))
#else
#define IN_REGISTER(a)
#endif

/* C <- keep C + factor op(A) B; op(A)[i, k] is A[i * row + k * column]. C is neither A nor B. */
static inline __attribute__((always_inline)) void multiply(float *C, float keep, float factor, const float *A, int row,
                                                           int column, const float *B, int n) {
    for (int i = 0; i < n; i += 4)
        for (int j = 0; j < n; j += 16) {
            v8 sum[4][2] = {0};
            for (int k = 0; k < n; k++) {
                v8 left = *(const v8 *)(B + k * n + j), right = *(const v8 *)(B + k * n + j + 8);
                IN_REGISTER(left);
                IN_REGISTER(right);
                for (int r = 0; r < 4; r++) {
                    float a = A[(i + r) * row + k * column];
                    sum[r][0] += a * left;
                    sum[r][1] += a * right;
                }
            }
            for (int r = 0; r < 4; r++) {
                v8 *out = (v8 *)(C + (i + r) * n + j);
                out[0] = keep == 0 ? factor * sum[r][0] : keep * out[0] + factor * sum[r][0];
                out[1] = keep == 0 ? factor * sum[r][1] : keep * out[1] + factor * sum[r][1];
            }
        }
}

/* A B and A^T B */
static void product(float *C, const float *A, const float *B, int n) { multiply(C, 0, 1, A, n, 1, B, n); }
static void transposed_product(float *C, const float *A, const float *B, int n) { multiply(C, 0, 1, A, 1, n, B, n); }
/* C <- keep C - rate A B */
static void step(float *C, float keep, float rate, const float *A, const float *B, int n) {
    multiply(C, keep, -rate, A, n, 1, B, n);
}

static void transpose(float *out, const float *in, int n) {
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < n; j += 8)
            for (int r = 0; r < 8; r++)
                for (int c = 0; c < 8; c++) out[(i + r) * n + j + c] = in[(j + c) * n + i + r];
}

/* `updates` updates of each of `networks` networks: w <- keep w - rate gradient.
 *
 * W       networks x (depth + 1) x n x n: the layers, then the head V
 * Sxx,Syx n x n; `stride` numbers to the next network's, 0 where all share them
 * rate, keep   networks x (depth + 1)
 * latent  1: the target is Wbar y (JEPA), 0: y (MAE)
 * room    (depth + 4) x n x n numbers of scratch
 */
void train(float *W, const float *Sxx, const float *Syx, size_t stride, const float *rate, const float *keep, int networks,
           int depth, int n, int latent, int updates, float *room) {
    const size_t size = (size_t)n * n;
    float *partial = room; /* W_1 is its own; W_2 W_1, ..., Wbar */
    float *VW = room + depth * size, *R = VW + size, *G = R + size, *other = G + size;
    for (; networks--; W += (depth + 1) * size, Sxx += stride, Syx += stride, rate += depth + 1, keep += depth + 1) {
        float *V = W + depth * size;
        for (int update = 0; update < updates; update++) {
            const float *Wbar = W;
            for (int l = 1; l < depth; l++) {
                product(partial + l * size, W + l * size, Wbar, n);
                Wbar = partial + l * size;
            }
            product(VW, V, Wbar, n);
            if (latent)
                product(R, Wbar, Syx, n);
            else
                memcpy(R, Syx, size * sizeof(float));
            multiply(R, -1, 1, VW, n, 1, Sxx, n); /* R = V Wbar Sxx - T Syx */
            transposed_product(G, V, R, n);
            transpose(VW, Wbar, n);
            step(V, keep[depth], rate[depth], R, VW, n);
            for (int l = depth - 1; l > 0; l--) { /* G = gradient with respect to W_l ... W_1, W_1 the first */
                transposed_product(other, W + l * size, G, n);
                transpose(VW, l > 1 ? partial + (l - 1) * size : W, n);
                step(W + l * size, keep[l], rate[l], G, VW, n);
                float *swap = G;
                G = other;
                other = swap;
            }
            for (size_t i = 0; i < size; i++) W[i] = keep[0] * W[i] - rate[0] * G[i];
        }
    }
}
