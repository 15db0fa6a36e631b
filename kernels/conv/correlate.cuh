// The weight gradient: gw[m, (c, u, v)] = sum over n and q of gy[n, m, q] * x[n, c, q * stride + tap(u, v)].
//
//                             columns: (c, u, v)
//             BK pixels      +------------------+
//            +----------+    |  x, transposed   |   lanes of a warp copy neighbouring pixels of a channel,
//   rows m   |    gy    |    +------------------+   so both are read along memory
//
// Compiled for compute capability 10 at a limit for two blocks of the largest tile, its addresses spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000 && __CUDA_ARCH__ < 1200 && BM * BN > 64 * 128
#define CORRELATE_RESIDENT 1
#else
#define CORRELATE_RESIDENT RESIDENT
#endif

// grid.x: row tiles, then column tiles, splits and groups.
extern "C" __global__ void __launch_bounds__(THREADS, CORRELATE_RESIDENT) correlate(
    const T* x, const T* gy, T* gw, T* parts, int images, int groups, int channels, int height, int width, int rows,
    int q_height, int q_width, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w,
    int dilation_h, int dilation_w, int splits) {
    alignas(16) __shared__ T a[2][BK][BM + PAD];
    alignas(16) __shared__ T b[2][BK][BN + PAD];
    struct Column {
        int row, column;  // of the tap, relative to q * stride; row is below everything for columns that do not exist
        long long at;     // of the tap, relative to the first channel's pixel q * stride
    };
    __shared__ Column looks[BN];
    const int thread = threadIdx.x, area = kernel_h * kernel_w, columns = channels * area;
    const int q_plane = q_height * q_width;
    const long long plane = (long long)height * width, pixels = (long long)images * q_plane;

    long long left = blockIdx.x;
    const int row_tiles = (rows + BM - 1) / BM, column_tiles = (columns + BN - 1) / BN;
    const int top = left % row_tiles * BM;
    left /= row_tiles;
    const int begin = left % column_tiles * BN;
    left /= column_tiles;
    const int split = left % splits, group = left / splits;
    for (int i = thread; i < BN; i += THREADS) {
        const int j = begin + i, e = j % area;
        const int r = e / kernel_w * dilation_h - padding_h, s = e % kernel_w * dilation_w - padding_w;
        looks[i].row = j < columns ? r : -(1 << 30);
        looks[i].column = s;
        looks[i].at = j / area * plane + (long long)r * width + s;
    }
    __syncthreads();

    const long long slabs = (pixels + BK - 1) / BK, slab = slabs * split / splits;
    long long todo = slabs * (split + 1) / splits - slab;
    const int DOWN_STEP = THREADS / BK, A_EACH = BM / DOWN_STEP, B_EACH = BN / DOWN_STEP;
    static_assert(THREADS % BK == 0 && BM % DOWN_STEP == 0 && BN % DOWN_STEP == 0, "whole copies");
    const int k = thread % BK, own = thread / BK;
    long long image = (slab * BK + k) / q_plane;  // of the next pixel to be loaded
    int q = (slab * BK + k) % q_plane;
    Incoming<1, A_EACH> incoming_a;
    Incoming<1, B_EACH> incoming_b;

    auto load = [&](int buffer) {
        const bool valid = image < images;
        const T* from = gy + ((image * groups + group) * rows + top + own) * q_plane + q;
#pragma unroll
        for (int i = 0; i < A_EACH; i++, from += DOWN_STEP * (long long)q_plane)
            incoming_a.fetch(i, &a[buffer][k][own + i * DOWN_STEP], from, valid && top + own + i * DOWN_STEP < rows);
        const int r = q / q_width * stride_h, s = q % q_width * stride_w;
        const T* pixel = x + (image * groups + group) * channels * plane + (long long)r * width + s;
#pragma unroll
        for (int i = 0; i < B_EACH; i++) {
            const Column look = looks[own + i * DOWN_STEP];
            const bool there = valid && inside(r + look.row, height) && inside(s + look.column, width);
            incoming_b.fetch(i, &b[buffer][k][own + i * DOWN_STEP], pixel + look.at, there);
        }
        for (q += BK; q >= q_plane; q -= q_plane) image++;
    };
    auto arrive = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < A_EACH; i++) incoming_a.arrive(i, &a[buffer][k][own + i * DOWN_STEP]);
#pragma unroll
        for (int i = 0; i < B_EACH; i++) incoming_b.arrive(i, &b[buffer][k][own + i * DOWN_STEP]);
        wait_for_copies();
    };

    T sums[TM][TN] = {};
    if (todo > 0) {
        load(0);
        arrive(0);
    }
    __syncthreads();
    for (int buffer = 0; todo > 0; todo--, buffer ^= 1) {
        if (todo > 1) load(buffer ^ 1);
        multiply(a[buffer], b[buffer], sums);
        if (todo > 1) arrive(buffer ^ 1);
        __syncthreads();
    }

    T* out = (parts ? parts + (long long)split * groups * rows * columns : gw) + (long long)group * rows * columns;
    const bool whole_runs = columns % RUN == 0;  // what comes before is then a multiple of RUN too
#pragma unroll
    for (int i = 0; i < TM; i++) {
        const int m = top + row(i);
        if (m >= rows) continue;
#pragma unroll
        for (int j = 0; j < TN; j += RUN) {
            const int first = begin + column(j);
            T* to = out + (long long)m * columns + first;
            Several<RUN> run;
#pragma unroll
            for (int e = 0; e < RUN; e++) run.v[e] = sums[i][j + e];
            if (whole_runs) {
                if (first < columns) *(Several<RUN>*)to = run;
            } else {
#pragma unroll
                for (int e = 0; e < RUN; e++)
                    if (first + e < columns) to[e] = run.v[e];
            }
        }
    }
}
