"""onnxruntime on the CPU: a graph of one node, forward only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..descriptor import Problem
from ..problem import Arrays
from . import Implementation, Unimplemented, missing


class OnnxRuntime(Implementation):
    name = "onnxruntime"
    requires = "onnxruntime>=1.17"
    exact = False
    tolerance = 8.0
    threads = 1

    def unavailable(self) -> str:
        return super().unavailable() or missing("onnx>=1.16")

    def set_threads(self, threads: int) -> None:
        self.threads = threads

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        import onnxruntime
        from onnx import TensorProto, helper

        p = problem
        if not p.direction.startswith("FWD") or p.op not in ("conv", "deconv", "pool", "ip") or p.dtype != "float32":
            raise Unimplemented("inference of conv, deconv, pool and ip in float32")
        window: dict[str, Any] = {"strides": p.stride, "pads": p.padding * 2}
        kinds: dict[str, tuple[str, dict[str, Any]]] = {
            "conv": ("Conv", {**window, "dilations": p.dilation, "group": p.groups}),
            "deconv": ("ConvTranspose", {**window, "dilations": p.dilation, "group": p.groups}),
            "ip": ("Gemm", {"transB": 1}),
            "pool": ("MaxPool", {**window, "kernel_shape": p.kernel})
            if p.algorithm == "max"
            else (
                "AveragePool",
                {**window, "kernel_shape": p.kernel, "count_include_pad": int(p.algorithm == "avg_p")},
            ),
        }
        operator, attributes = kinds[p.op]
        names = list(arrays)
        node = helper.make_node(operator, names, ["y"], **attributes)
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, arrays[n].shape) for n in names]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph([node], "one", values, [output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(["y"], arrays)


IMPLEMENTATIONS = [OnnxRuntime()]
