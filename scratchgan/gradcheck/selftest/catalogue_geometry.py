"""The catalogue's bugs of geometry: which elements an output of a convolution, a resampling or a pooling sees."""

from __future__ import annotations

from .planting import Plant

ADJOINT = ("exact adjoint",)
CONTRACT = ("contract",)


def convolution() -> list[Plant]:
    package = "scratchgan.kernels.conv"
    dw = ".conv2d_weight_grad(x, gy, gw, "

    def conv(name: str, function: str, call: str, wrong: str) -> Plant:
        return Plant(name, "convolution", "conv2d", ADJOINT, f"{package}:{function}", ((call, wrong),))

    def in_dx(name: str, wrong: str) -> Plant:
        return conv(name, "conv2d_input_grad", "gx, stride, padding, dilation, groups,", wrong)

    def in_dw(name: str, wrong: str) -> Plant:
        return conv(name, "conv2d_weight_grad", dw + "stride, padding, dilation,", wrong)

    weights = ".conv2d_input_grad(gy, w, "
    transposed = "np.ascontiguousarray(w.reshape(-1)).reshape(w.shape[::-1]).T"
    return [
        conv("flipped kernel", "conv2d_input_grad", weights, ".conv2d_input_grad(gy, w[..., ::-1, ::-1].copy(), "),
        conv(
            "W transposed",
            "conv2d_input_grad",
            weights,
            f".conv2d_input_grad(gy, np.ascontiguousarray({transposed}), ",
        ),
        in_dx("padding + 1", "gx, stride, (padding[0] + 1, padding[1] + 1), dilation, groups,"),
        in_dx("padding - 1", "gx, stride, (padding[0], padding[1] - 1), dilation, groups,"),
        Plant(
            "stride remainder lost",
            "convolution",
            "conv2d",
            (*CONTRACT, *ADJOINT),
            f"{package}.plan:input_grad_walk",
            (("grid = (-(-input_hw[0] // stride[0]),", "grid = (max(1, input_hw[0] // stride[0]),"),),
        ),
        in_dx("H and W stride swapped", "gx, stride[::-1], padding, dilation, groups,"),
        in_dx("H and W padding swapped", "gx, stride, padding[::-1], dilation, groups,"),
        in_dw("stride and dilation swapped", dw + "dilation, padding, stride,"),
        in_dw("dilation ignored in dW", dw + "stride, padding, (1, 1),"),
        in_dw(
            "odd tail",
            ".conv2d_weight_grad(x, gy * (np.arange(gy.shape[3]) < gy.shape[3] // 2 * 2).astype(gy.dtype), gw, "
            "stride, padding, dilation,",
        ),
        Plant(
            "db dropped",
            "convolution",
            "conv2d with bias",
            ("random adjoint", "differences"),
            "scratchgan.ops.conv:Convolve.backward",
            (("sum(gy, (0, 2, 3)) if", "sum(gy, (0, 2, 3)) * 0.0 if"),),
        ),
        Plant(
            "db averaged",
            "convolution",
            "conv2d with bias",
            ("random adjoint", "differences"),
            "scratchgan.ops.conv:Convolve.backward",
            (("sum(gy, (0, 2, 3)) if", "sum(gy, (0, 2, 3)) * (1.0 / gy.shape[0]) if"),),
        ),
        Plant(
            "output_padding on the wrong side",
            "convolution",
            "conv_transpose2d",
            ADJOINT,
            "scratchgan.kernels.conv:conv_transpose2d",
            (
                (
                    ".conv2d_input_grad(x, w, bias, y, stride, padding,",
                    ".conv2d_input_grad(x, w, bias, y, stride, "
                    "(padding[0] - output_padding[0], padding[1] - output_padding[1]),",
                ),
            ),
        ),
    ]


def resampling() -> list[Plant]:
    up, pool = "scratchgan.kernels.upsample.cpu", "scratchgan.kernels.pool.cpu"
    family = "resampling and pooling"
    return [
        Plant(
            "upsample stride",
            family,
            "upsample_nearest2d",
            ADJOINT,
            f"{up}:nearest_grad",
            (("gy[p, row, 2 * j] + gy[p, row, 2 * j + 1]", "gy[p, row, j] + gy[p, row, j + 1]"),),
        ),
        Plant(
            "align_corners window",
            family,
            "upsample_bilinear2d",
            (*ADJOINT, "random adjoint"),
            f"{up}:bilinear_grad",
            (("row = -1 - row", "row = -row"),),
        ),
        Plant(
            "pool padding",
            family,
            "avg_pool2d",
            (*ADJOINT, "random adjoint"),
            f"{pool}:avg_pool_grad",
            (("range(max(u * sh - ph, 0)", "range(max(u * sh, 0)"),),
        ),
        Plant(
            "max overlap",
            family,
            "max_pool2d",
            ("differences",),
            f"{pool}:max_pool_grad",
            (("gx[p, i] += gy[p, k]", "gx[p, i] = gy[p, k]"),),
        ),
        Plant(
            "max tie counted for each",
            family,
            "max",
            ("kinks",),
            "scratchgan.ops.reduce:Max.backward",
            (("hit / hit.sum(axis=self.axes, keepdims=True)", "hit"),),
        ),
    ]
