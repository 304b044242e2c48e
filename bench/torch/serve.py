"""Answers requests on stdin, one after another, on stdout: trains, measures and shows the detector of detector.py.

A message is the length of its header (uint32, little-endian), the header as JSON, and the bytes of the arrays that the header lists.
`client.ts` is the other end.
"""

import json
import math
import os
import struct
import sys
import time

import numpy as np
import torch

from detector import (
    Detector,
    from_ours,
    loss_terms,
    optimizer_of,
    target_tensors,
    to_ours,
    weighted_total,
)

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Trainer:
    """A detector with its optimizer, its moving average and the batch that it was given last."""

    def __init__(self, request, arrays):
        torch.set_num_threads(request["threads"])
        self.options = request["options"]
        self.dtype = DTYPES[request["dtype"]]
        self.format = torch.channels_last if request["layout"] == "channels_last" else torch.contiguous_format
        self.detector = Detector(request["architecture"], request["padding"] == "symmetric")
        self.detector.to(self.dtype)
        self.weights = self.detector.named_weights()
        self.parameters = self.detector.named_parameters_of_ours()
        with torch.no_grad():
            for name, (tensor, is_kernel) in self.weights.items():
                tensor.copy_(from_ours(arrays[name], is_kernel))
        self.detector.to(memory_format=self.format)
        # Converting the layout may have made new parameters.
        self.weights = self.detector.named_weights()
        self.parameters = self.detector.named_parameters_of_ours()
        self.optimizer = optimizer_of(self.detector, self.options)
        self.average = None
        if request["average"]:
            # Ours starts at the first weights, unless it goes on with one given.
            self.average = {
                name: self.given(arrays, f"average/{name}", is_kernel, tensor)
                for name, (tensor, is_kernel) in self.weights.items()
            }
        if "slot1/stem/kernel" in arrays:
            self.load_slots(arrays, request["step"])
        self.loss = torch.compile(self.plain_loss) if request["compile"] else self.plain_loss
        self.forward = torch.compile(self.detector) if request["compile"] else self.detector
        self.targets = None
        self.pixels = None
        self.gathered = 0

    def given(self, arrays, name, is_kernel, fallback):
        source = from_ours(arrays[name], is_kernel) if name in arrays else fallback.detach()
        return torch.empty_like(fallback).copy_(source)

    def load_slots(self, arrays, step):
        slots = ["exp_avg", "exp_avg_sq"] if self.options["optimizer"] == "adam" else ["momentum_buffer"]
        for name, (tensor, is_kernel) in self.parameters.items():
            state = self.optimizer.state[tensor]
            if self.options["optimizer"] == "adam":
                state["step"] = torch.tensor(float(step))
            for i, slot in enumerate(slots):
                state[slot] = self.given(arrays, f"slot{i + 1}/{name}", is_kernel, tensor)

    def take(self, request, arrays):
        self.pixels = torch.from_numpy(arrays["pixels"])
        self.targets = target_tensors({**arrays, "positives": request["positives"]}, self.dtype)

    def plain_loss(self, pixels, targets):
        terms = loss_terms(self.detector(pixels), targets, self.options)
        return weighted_total(terms, self.options["lossWeights"]), terms

    def step(self, settings):
        """One batch; with `gather` alone its gradient is only added to those of the batches before."""
        self.detector.train()
        for norm in self.detector.norms():
            norm.momentum = settings["statisticsRate"]
            norm.train(not self.options["freezeStatistics"])
        if self.gathered == 0:
            self.optimizer.zero_grad(set_to_none=True)
        total, terms = self.loss(self.pixels, self.targets)
        total.backward()
        self.gathered += 1
        norm = None
        if not settings.get("gather", False):
            parameters = [tensor for tensor, _ in self.parameters.values()]
            if self.gathered > 1:
                torch._foreach_div_([tensor.grad for tensor in parameters], self.gathered)
            self.gathered = 0
            bound = settings["clipNorm"]
            if settings["norm"]:
                norm = torch.nn.utils.clip_grad_norm_(parameters, float("inf") if bound is None else bound)
            for group in self.optimizer.param_groups:
                group["lr"] = settings["learningRate"]
            self.optimizer.step()
            if self.average is not None:
                now = [tensor.detach() for tensor, _ in self.weights.values()]
                torch._foreach_lerp_(list(self.average.values()), now, 1 - settings["emaDecay"])
        # JSON has no NaN and no infinity.
        values = [value if math.isfinite(value) else None for value in torch.stack([total, *terms]).tolist()]
        names = ["total", "box", "objectness", "class"]
        return {**dict(zip(names, values)), "gradientNorm": None if norm is None else float(norm)}

    def infer(self):
        self.detector.eval()
        with torch.inference_mode():
            return self.forward(self.pixels).numpy()

    def gradients(self):
        return {name: to_ours(tensor.grad, is_kernel) for name, (tensor, is_kernel) in self.parameters.items()}

    def state(self):
        arrays = {name: to_ours(tensor, is_kernel) for name, (tensor, is_kernel) in self.weights.items()}
        for i, slot in enumerate(["exp_avg", "exp_avg_sq"] if self.options["optimizer"] == "adam" else ["momentum_buffer"]):
            for name, (tensor, is_kernel) in self.parameters.items():
                arrays[f"slot{i + 1}/{name}"] = to_ours(self.optimizer.state[tensor][slot], is_kernel)
        if self.average is not None:
            for name, (_, is_kernel) in self.weights.items():
                arrays[f"average/{name}"] = to_ours(self.average[name], is_kernel)
        return arrays


def repeat(trainer, request):
    """The milliseconds that each of `count` equal steps takes."""
    milliseconds = []
    for _ in range(request["count"]):
        start = time.perf_counter()
        if request["what"] == "train":
            trainer.step(request["settings"])
        else:
            trainer.infer()
        milliseconds.append((time.perf_counter() - start) * 1000)
    return milliseconds


def peak_bytes():
    """The largest resident size of this program; `ru_maxrss` would count its parent's at the time of the fork."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no line VmHWM.")


def read_message(stream):
    start = stream.read(4)
    if len(start) < 4:
        return None, {}
    request = json.loads(stream.read(struct.unpack("<I", start)[0]))
    arrays = {}
    for name, dtype, shape in request["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        # A bytearray, because PyTorch wants memory that it may write to.
        data = bytearray(stream.read(count * np.dtype(dtype).itemsize))
        arrays[name] = np.frombuffer(data, dtype=dtype).reshape(shape)
    return request, arrays


def write_message(stream, values, arrays):
    # float64 is `<f8` everywhere, so that the other end need not know this machine's order of bytes.
    ordered = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {**values, "arrays": [[name, str(array.dtype), array.shape] for name, array in ordered.items()]}
    text = json.dumps(header).encode()
    stream.write(struct.pack("<I", len(text)) + text)
    for array in ordered.values():
        stream.write(memoryview(array).cast("B") if array.size else b"")
    stream.flush()


def main():
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    trainer = None
    while True:
        request, arrays = read_message(sys.stdin.buffer)
        if request is None:
            return
        values, answer = {}, {}
        kind = request["kind"]
        if kind == "open":
            torch.manual_seed(0)
            trainer = Trainer(request, arrays)
            values = {"torch": torch.__version__}
        elif kind == "batch":
            trainer.take(request, arrays)
            continue
        elif kind == "step":
            values = trainer.step(request["settings"])
        elif kind == "infer":
            answer = {"rows": trainer.infer()}
        elif kind == "gradients":
            answer = trainer.gradients()
        elif kind == "state":
            answer = trainer.state()
        elif kind == "repeat":
            values = {"milliseconds": repeat(trainer, request)}
        elif kind == "peak":
            values = {"bytes": peak_bytes()}
        else:
            raise ValueError(f'There is no request "{kind}".')
        write_message(answers, values, answer)


if __name__ == "__main__":
    main()
