// Few output channels (an image's three, say): the tile would be nearly empty, and memory sets the pace. A thread
// makes ROWS channels of PIXELS pixels and reads the source through the first cache, CHANNELS channels at a time so
// that what the next tap looks at is still there; the weights of a term are the same for all, one broadcast.
#ifndef ROWS
#define ROWS 4
#endif
const int PIXELS = 2, CHANNELS = 8;
const int UNROLL = T_BITS == 32 ? 4 : 2;  // numbers under way at once; four doubles would spill registers

// grid.x: pixels, then row tiles, phases and groups.
extern "C" __global__ void __launch_bounds__(256, 2) convolve_thin(
    const T* source, const T* packed, const T* bias, T* y, int images, int groups, int channels, int height, int width,
    int rows, int padded_channels, int padded_rows, int out_height, int out_width, int q_height, int q_width,
    bool transposed, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w,
    int dilation_h, int dilation_w, int every_h, int every_w) {
    const long long q_plane = (long long)q_height * q_width, pixels = images * q_plane;
    const long long plane = (long long)height * width, out_plane = (long long)out_height * out_width;
    long long left = blockIdx.x;
    const long long pixel_tiles = (pixels + 256 * PIXELS - 1) / (256 * PIXELS);
    const long long begin = left % pixel_tiles * 256 * PIXELS + threadIdx.x;
    left /= pixel_tiles;
    const int row_tiles = padded_rows / ROWS, top = left % row_tiles * ROWS;
    left /= row_tiles;
    const int phases = transposed ? stride_h * stride_w : 1, phase = left % phases, group = left / phases;
    const int phase_h = phase / stride_w, phase_w = phase % stride_w;
    __shared__ Axis axes[2];
    if (threadIdx.x == 0) {
        axes[0] = axis(transposed, kernel_h, stride_h, padding_h, dilation_h, every_h, phase_h);
        axes[1] = axis(transposed, kernel_w, stride_w, padding_w, dilation_w, every_w, phase_w);
    }
    __syncthreads();
    const Axis &v = axes[0], &h = axes[1];
    const T* weights = packed + (long long)group * kernel_h * kernel_w * padded_channels * padded_rows + top;

    const T* pixel[PIXELS];
    T* to[PIXELS];
    int q_row[PIXELS], q_column[PIXELS];
    bool valid[PIXELS];
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        const long long at = begin + j * 256;
        const long long image = at / q_plane * groups + group, q = at % q_plane;
        const int r = q / q_width, s = q % q_width;
        const int out_row = r * (transposed ? stride_h : 1) + phase_h, out_column = s * (transposed ? stride_w : 1) + phase_w;
        valid[j] = at < pixels && out_row < out_height && out_column < out_width;
        pixel[j] = source + image * channels * plane;
        q_row[j] = r * v.step + v.start;
        q_column[j] = s * h.step + h.start;
        to[j] = y + (image * rows + top) * out_plane + (long long)out_row * out_width + out_column;
    }
    T sums[ROWS][PIXELS] = {};
    for (int c = 0; c < channels; c += CHANNELS) {
        const int end = min(channels, c + CHANNELS);
        for (int tap_row = 0; tap_row < v.count; tap_row++)
            for (int tap_column = 0; tap_column < h.count; tap_column++) {
                const long long element = (v.first + tap_row * v.every) * kernel_w + h.first + tap_column * h.every;
                const T* w = weights + (element * padded_channels + c) * padded_rows;
                const T* from[PIXELS];
                bool there[PIXELS];
#pragma unroll
                for (int j = 0; j < PIXELS; j++) {
                    const int r = q_row[j] + tap_row * v.skip, s = q_column[j] + tap_column * h.skip;
                    there[j] = valid[j] && inside(r, height) && inside(s, width);
                    from[j] = pixel[j] + c * plane + (long long)r * width + s;
                }
#pragma unroll UNROLL
                for (int k = c; k < end; k++, w += padded_rows) {
                    T own[ROWS];
#pragma unroll
                    for (int i = 0; i < ROWS; i += PACK) {
                        const Pack some = *(const Pack*)(w + i);
#pragma unroll
                        for (int e = 0; e < PACK; e++) own[i + e] = some.v[e];
                    }
#pragma unroll
                    for (int j = 0; j < PIXELS; j++) {
                        const T value = there[j] ? *from[j] : T(0);
                        from[j] += plane;
#pragma unroll
                        for (int i = 0; i < ROWS; i++) sums[i][j] += own[i] * value;
                    }
                }
            }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (top + i >= rows) break;
        const T b0 = bias ? bias[group * rows + top + i] : T(0);
#pragma unroll
        for (int j = 0; j < PIXELS; j++)
            if (valid[j]) to[j][i * out_plane] = sums[i][j] + b0;
    }
}

// The weight gradient of few output channels and a small square kernel. In correlate's tile most rows would be empty;
// here a block makes all of it for BESIDE channels of x: each thread goes through its share of the pixels q with
//
//     sums[m][channel][tap] += gy[m, q] * x[channel, q * stride + tap]
//
// in registers, 27 products of 12 numbers read for 3x3 taps; neighbouring threads read neighbouring pixels, and a
// pixel that another tap looked at comes from the first cache. Then the threads' sums are added up, in a fixed order.
#ifndef KERNEL
#define KERNEL 3
#endif
const int TOGETHER = 4;                   // rows; the sums of more would not fit into registers
const int BESIDE = T_BITS == 32 ? 2 : 1;  // channels; likewise

// grid.x: channels of x in runs of BESIDE, then row tiles, splits and groups.
extern "C" __global__ void __launch_bounds__(256, T_BITS == 32 ? 2 : 1) correlate_thin(
    const T* x, const T* gy, T* gw, T* parts, int images, int groups, int channels, int height, int width, int rows,
    int q_height, int q_width, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h,
    int dilation_w, int splits) {
    const int AREA = KERNEL * KERNEL, SUMS = TOGETHER * BESIDE * AREA;
    __shared__ T scratch[8][SUMS];
    const int thread = threadIdx.x, q_plane = q_height * q_width;
    const long long plane = (long long)height * width, pixels = (long long)images * q_plane;

    long long left = blockIdx.x;
    const int runs = (channels + BESIDE - 1) / BESIDE, row_tiles = (rows + TOGETHER - 1) / TOGETHER;
    const int c0 = left % runs * BESIDE;
    left /= runs;
    const int top = left % row_tiles * TOGETHER;
    left /= row_tiles;
    const int split = left % splits, group = left / splits;
    const long long end = pixels * (split + 1) / splits;
    long long at = pixels * split / splits + thread;
    long long image = at / q_plane;
    int q = at % q_plane, q_row = q / q_width, q_column = q % q_width;
    const int down = 256 / q_width, across = 256 % q_width;  // from one of a thread's pixels to the next

    T sums[TOGETHER][BESIDE][AREA] = {};
    for (; at < end; at += 256) {
        T own[TOGETHER];
        const T* from = gy + ((image * groups + group) * rows + top) * q_plane + q_row * q_width + q_column;
#pragma unroll
        for (int m = 0; m < TOGETHER; m++) own[m] = top + m < rows ? from[(long long)m * q_plane] : T(0);
        const T* corner = x + ((image * groups + group) * channels + c0) * plane;
#pragma unroll
        for (int e = 0; e < AREA; e++) {
            const int r = q_row * stride_h + e / KERNEL * dilation_h - padding_h;
            const int s = q_column * stride_w + e % KERNEL * dilation_w - padding_w;
            const bool there = inside(r, height) && inside(s, width);
#pragma unroll
            for (int c = 0; c < BESIDE; c++) {
                const T value = there && c0 + c < channels ? corner[c * plane + (long long)r * width + s] : T(0);
#pragma unroll
                for (int m = 0; m < TOGETHER; m++) sums[m][c][e] += own[m] * value;
            }
        }
        q_row += down;
        q_column += across;
        if (q_column >= q_width) {
            q_column -= q_width;
            q_row++;
        }
        for (; q_row >= q_height; q_row -= q_height) image++;
    }

#pragma unroll
    for (int i = 0; i < SUMS; i++) {  // within a warp
        T sum = sums[i / AREA / BESIDE][i / AREA % BESIDE][i % AREA];
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        if (thread % 32 == 0) scratch[thread / 32][i] = sum;
    }
    __syncthreads();
    if (thread >= SUMS) return;
    const int m = top + thread / AREA / BESIDE, c = c0 + thread / AREA % BESIDE;
    if (m >= rows || c >= channels) return;
    T total = 0;
    for (int warp = 0; warp < 8; warp++) total += scratch[warp][thread];
    T* out = parts ? parts + (long long)split * groups * rows * channels * AREA : gw;
    out[(((long long)group * rows + m) * channels + c) * AREA + thread % AREA] = total;
}
