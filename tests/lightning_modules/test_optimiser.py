"""Our Adam is torch's, step by step and in what it saves."""

from __future__ import annotations

import torch

from lightning_modules.optimiser import Adam


def test_steps_and_state_are_those_of_torch() -> None:
    start = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    pair = ((ours, Adam([ours], lr=0.1, fused=True)), (theirs, torch.optim.Adam([theirs], lr=0.1, fused=True)))
    for step in range(3):
        for parameter, optimiser in pair:
            optimiser.zero_grad()
            loss = (parameter**2).sum() * (step + 1)
            loss.backward()
            optimiser.step()
        assert torch.equal(ours, theirs)
    saved = [optimiser.state_dict() for _, optimiser in pair]
    assert saved[0]["param_groups"] == saved[1]["param_groups"]
    for name in ("step", "exp_avg", "exp_avg_sq"):
        assert torch.equal(saved[0]["state"][0][name], saved[1]["state"][0][name])
    fresh = Adam([ours], lr=0.5, fused=True)
    fresh.load_state_dict(saved[1])
    assert fresh.param_groups[0]["lr"] == 0.1
    assert torch.equal(fresh.state[ours]["exp_avg"], saved[0]["state"][0]["exp_avg"])
