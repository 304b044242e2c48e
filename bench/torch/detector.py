"""The detector of detection/model/ in PyTorch: the same network (structure csp), weights, loss and update.

Written against the formulas and not the code of detection/model/, with PyTorch's own layers, autograd and optimizers, so that
agreement of the two says something about both.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPSILON = 1e-3
LEAKY_SLOPE = 0.1
BASE_CHANNELS = 64
BASE_BLOCKS = 6


def round_half_up(value):
    return math.floor(value + 0.5)


def channels_at(architecture, factor):
    return max(8, round_half_up(architecture["width"] * BASE_CHANNELS * factor / 8) * 8)


class Convolution(nn.Conv2d):
    """TensorFlow pads a convolution of stride 2 on the far side only. `symmetric` pads both sides, as PyTorch nets usually do: the same
    work without a copy of the input, for measuring speed."""

    def __init__(self, inputs, outputs, size, stride, bias, symmetric):
        self.far_only = stride == 2 and not symmetric
        super().__init__(inputs, outputs, size, stride, 0 if self.far_only else size // 2, bias=bias)

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.far_only else x)


class Conv(nn.Module):
    """Convolution, batch norm, activation."""

    def __init__(self, net, name, inputs, outputs, size, stride):
        super().__init__()
        self.weight_name = name
        self.conv = Convolution(inputs, outputs, size, stride, False, net["symmetric"])
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON)
        self.activation = {
            "leaky": nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            "mish": nn.Mish(inplace=True),
            "silu": nn.SiLU(inplace=True),
        }[net["activation"]]

    def forward(self, x):
        return self.activation(self.norm(self.conv(x)))


class Csp(nn.Module):
    def __init__(self, net, name, inputs, channels, blocks):
        super().__init__()
        half = channels // 2
        self.around = Conv(net, f"{name}/around", inputs, half, 1, 1)
        self.through = Conv(net, f"{name}/through", inputs, half, 1, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(Conv(net, f"{name}/block{i}/a", half, half, 1, 1), Conv(net, f"{name}/block{i}/b", half, half, 3, 1))
            for i in range(blocks)
        )
        self.join = Conv(net, f"{name}/join", 2 * half, channels, 1, 1)

    def forward(self, x):
        around, through = self.around(x), self.through(x)
        for block in self.blocks:
            through = through + block(through)
        return self.join(torch.cat([around, through], 1))


class Detector(nn.Module):
    """uint8 or float pixels [B, S, S, 3] of 0..255 to raw rows [B, N, 5 + C], ordered by head, y, x, anchor."""

    def __init__(self, architecture, symmetric=False):
        super().__init__()
        if architecture.get("structure", "csp") != "csp":
            raise ValueError(f'There is no structure "{architecture["structure"]}" here, only csp.')
        net = {"activation": architecture["activation"], "symmetric": symmetric}
        strides = architecture["strides"]
        top = strides[-1]
        self.fields = 5 + len(architecture["categories"])
        self.strides = strides
        blocks = max(1, round_half_up(architecture["depth"] * BASE_BLOCKS))

        def at(factor):
            return channels_at(architecture, factor)

        stage = {4: at(2), 8: at(4), 16: at(8), 32: at(8)}
        neck = {4: at(2), 8: at(2), 16: at(4), 32: at(8)}

        self.stem = Conv(net, "stem", 3, at(1), 3, 2)
        inputs = at(1)
        self.stages = nn.ModuleList()
        for stride in [4, 8, 16, 32]:
            if stride > top:
                break
            down = Conv(net, f"stage{stride}/down", inputs, stage[stride], 3, 2)
            self.stages.append(nn.Sequential(down, Csp(net, f"stage{stride}", stage[stride], stage[stride], blocks)))
            inputs = stage[stride]

        self.spp_in = Conv(net, "spp/in", inputs, at(4), 1, 1)
        self.spp_out = Conv(net, "spp/out", 4 * at(4), neck[top], 1, 1)

        self.coarse, self.lateral, self.necks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = neck[top]
        for stride in reversed(strides[:-1]):
            self.coarse.append(Conv(net, f"neck{stride}/coarse", inputs, neck[stride], 1, 1))
            self.lateral.append(Conv(net, f"neck{stride}/lateral", stage[stride], neck[stride], 1, 1))
            self.necks.append(Csp(net, f"neck{stride}", 2 * neck[stride], neck[stride], blocks))
            inputs = neck[stride]

        self.downs, self.paths, self.features, self.outs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, stride in enumerate(strides):
            if i > 0:
                down = min(at(4), neck[stride])
                self.downs.append(Conv(net, f"path{stride}/down", inputs, down, 3, 2))
                self.paths.append(Csp(net, f"path{stride}", down + neck[stride], neck[stride], blocks))
            inputs = neck[stride]
            features = min(2 * neck[stride], at(8))
            self.features.append(Conv(net, f"head{stride}/features", inputs, features, 3, 1))
            out = Convolution(features, len(architecture["anchors"][i]) * self.fields, 1, 1, True, symmetric)
            out.weight_name = f"head{stride}/out"
            self.outs.append(out)

    def forward(self, pixels):
        dtype = self.stem.conv.weight.dtype
        x = self.stem(pixels.permute(0, 3, 1, 2).to(dtype) / 255)
        finest = 4
        stages = {}
        for i, stage in enumerate(self.stages):
            x = stages[finest << i] = stage(x)

        x = self.spp_in(x)
        pool5 = F.max_pool2d(x, 5, 1, 2)
        pool9 = F.max_pool2d(pool5, 5, 1, 2)
        pool13 = F.max_pool2d(pool9, 5, 1, 2)
        x = self.spp_out(torch.cat([x, pool5, pool9, pool13], 1))

        necks = {self.strides[-1]: x}
        for i, stride in enumerate(reversed(self.strides[:-1])):
            upsampled = F.interpolate(self.coarse[i](x), scale_factor=2, mode="nearest")
            x = necks[stride] = self.necks[i](torch.cat([upsampled, self.lateral[i](stages[stride])], 1))

        rows = []
        for i, stride in enumerate(self.strides):
            if i > 0:
                x = self.paths[i - 1](torch.cat([self.downs[i - 1](x), necks[stride]], 1))
            out = self.outs[i](self.features[i](x))
            rows.append(out.permute(0, 2, 3, 1).reshape(out.shape[0], -1, self.fields))
        return torch.cat(rows, 1)

    def named_weights(self):
        """The names of detection/model/network.ts -> (tensor, whether it is a kernel of [out, in, rows, columns])."""
        weights = {}
        for module in self.modules():
            name = getattr(module, "weight_name", None)
            if isinstance(module, Conv):
                weights[f"{name}/kernel"] = (module.conv.weight, True)
                weights[f"{name}/scale"] = (module.norm.weight, False)
                weights[f"{name}/offset"] = (module.norm.bias, False)
                weights[f"{name}/mean"] = (module.norm.running_mean, False)
                weights[f"{name}/variance"] = (module.norm.running_var, False)
            elif name is not None:
                weights[f"{name}/kernel"] = (module.weight, True)
                weights[f"{name}/bias"] = (module.bias, False)
        return weights

    def named_parameters_of_ours(self):
        statistics = ("/mean", "/variance")
        return {name: entry for name, entry in self.named_weights().items() if not name.endswith(statistics)}

    def norms(self):
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]


def from_ours(array, is_kernel):
    """A weight of detection/model/ (kernels [rows, columns, in, out]) as PyTorch keeps it."""
    tensor = torch.as_tensor(array)
    return tensor.permute(3, 2, 0, 1) if is_kernel else tensor


def to_ours(tensor, is_kernel):
    tensor = tensor.detach()
    return (tensor.permute(2, 3, 1, 0) if is_kernel else tensor).contiguous().numpy()


def box_similarity(centre, size, target_centre, target_size, kind):
    """GIoU, DIoU or CIoU of boxes [P, 2] each, as torchvision's generalized_box_iou_loss and its sisters define them."""
    low, high = centre - size / 2, centre + size / 2
    target_low, target_high = target_centre - target_size / 2, target_centre + target_size / 2
    shared = (torch.minimum(high, target_high) - torch.maximum(low, target_low)).clamp(min=0).prod(1)
    union = size.prod(1) + target_size.prod(1) - shared
    iou = shared / (union + 1e-9)
    hull = torch.maximum(high, target_high) - torch.minimum(low, target_low)
    if kind == "giou":
        hull_area = hull.prod(1) + 1e-9
        return iou - (hull_area - union) / hull_area
    diou = iou - (centre - target_centre).square().sum(1) / (hull.square().sum(1) + 1e-9)
    if kind == "diou":
        return diou
    angle = torch.atan(target_size[:, 0] / (target_size[:, 1] + 1e-9)) - torch.atan(size[:, 0] / (size[:, 1] + 1e-9))
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        alpha = aspect / (aspect - iou + 1 + 1e-6)
    return diou - alpha * aspect


def focal_loss(logits, targets, gamma, alpha):
    """As torchvision.ops.sigmoid_focal_loss, without reduction."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = torch.sigmoid(logits)
    p_true = p * targets + (1 - p) * (1 - targets)
    loss = cross_entropy * (1 - p_true) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return loss


def quality_weight(logits, targets, gamma, alpha):
    """What makes cross-entropy with soft targets the quality focal loss (Li et al., 2020)."""
    weight = (torch.sigmoid(logits) - targets).abs() ** gamma
    return weight if alpha < 0 else weight * (alpha * targets + (1 - alpha) * (1 - targets))


def loss_terms(predictions, targets, options):
    """The unweighted terms box, objectness, class."""
    fields = predictions.shape[2]
    flat = predictions.reshape(-1, fields)
    asked = flat.index_select(0, targets["rows"])
    cells = targets["cells"]
    corner, stride, anchor = cells[:, 0:2], cells[:, 2:3], cells[:, 3:5]
    centre = corner + (2 * torch.sigmoid(asked[:, 0:2]) - 0.5) * stride
    size = anchor * (2 * torch.sigmoid(asked[:, 2:4])) ** 2
    overlap = box_similarity(centre, size, targets["boxes"][:, 0:2], targets["boxes"][:, 2:4], options["boxLoss"])
    weights, normaliser = targets["weights"], targets["normaliser"]
    box = ((1 - overlap) * weights).sum()

    focal = options["focal"]
    objectness = focal_loss(flat[:, 4], targets["objectness"], focal["gamma"], focal["alpha"])
    objectness = (objectness * targets["counted"]).sum()

    if fields == 6:
        class_term = predictions.new_zeros(())
    else:
        logits = asked[:, 5:]
        class_term = F.binary_cross_entropy_with_logits(logits, targets["classes"], reduction="none")
        if focal["class"]:
            class_term = class_term * quality_weight(logits, targets["classes"], focal["gamma"], focal["alpha"])
        class_term = (class_term.sum(1) * weights).sum()
    return box * normaliser, objectness * normaliser, class_term * normaliser


def weighted_total(terms, weights):
    return terms[0] * weights["box"] + terms[1] * weights["objectness"] + terms[2] * weights["class"]


def target_tensors(arrays, dtype):
    """The arrays of a TargetBatch, without the rows beyond the last positive."""
    count = max(1, int(arrays["positives"]))

    def floats(values):
        return torch.as_tensor(values).to(dtype)

    return {
        "objectness": floats(arrays["objectness"]),
        "counted": floats(arrays["counted"]),
        "rows": torch.as_tensor(arrays["rows"][:count]).long(),
        "cells": floats(arrays["cells"][:count]),
        "boxes": floats(arrays["boxes"][:count]),
        "classes": floats(arrays["classes"][:count]),
        "weights": floats(arrays["weights"][:count]),
        "normaliser": 1 / max(1, int(arrays["positives"])),
    }


def optimizer_of(detector, options):
    """SGD with momentum, or AdamW. Only kernels decay."""
    weights = detector.named_parameters_of_ours().values()
    groups = [
        {"params": [tensor for tensor, is_kernel in weights if is_kernel], "weight_decay": options["weightDecay"]},
        {"params": [tensor for tensor, is_kernel in weights if not is_kernel], "weight_decay": 0.0},
    ]
    if options["optimizer"] == "adam":
        return torch.optim.AdamW(groups, lr=1.0, betas=(options["momentum"], 0.999), eps=1e-8, foreach=True)
    return torch.optim.SGD(groups, lr=1.0, momentum=options["momentum"], foreach=True)
