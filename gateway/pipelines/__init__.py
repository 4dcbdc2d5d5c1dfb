"""Pipelines: served models and built-in steps, joined by named tensors (docs/pipelines.md).

    core/pipeline.py   pipeline.toml as data
    ports.py           what flows along an edge, and whether two ends fit
    plan.py            a pipeline against its members' signatures: every edge checked, the outputs' signature
    members.py         a leased model as a step: rows padded, split, joined
    steps/             the built-in steps
    assembled.py       what serving loads, leases and runs
    vectors.py         golden pictures and tensors

Rule 1: the event loop only starts steps and waits for them: arithmetic runs in threads.
Rule 2: all members are leased before the first step and given back after the last: a swap of a member never
        mixes two of its versions in one request.
"""
