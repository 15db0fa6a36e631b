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
