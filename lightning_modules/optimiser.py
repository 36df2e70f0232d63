"""torch's fused Adam, without loading torch's compiler at the first step.

``torch.optim.Optimizer`` marks some of its methods as not to be compiled, and the mark imports ``torch._dynamo`` when such a
method first runs: 800 modules, 71 MiB, for nothing where nobody compiles (torch 2.13). The methods below are torch's own,
without the mark; what they compute is the same to the bit.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch


def _unmarked(method: Any) -> Any:
    """The function under torch's decorators; itself where there are none."""
    return inspect.unwrap(method)


class Adam(torch.optim.Adam):
    """Adam whose steps cannot be differentiated through, nor compiled.

    Source: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980
    """

    add_param_group = _unmarked(torch.optim.Adam.add_param_group)
    zero_grad = _unmarked(torch.optim.Adam.zero_grad)
    state_dict = _unmarked(torch.optim.Adam.state_dict)
    load_state_dict = _unmarked(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(_unmarked(torch.optim.Adam.step))
