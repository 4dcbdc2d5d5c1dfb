"""Layers that are known and not converted, with the reason and the way out."""

from gateway.graph.registry import refused

refused(
    "caffe",
    "Python",
    reason="its code is its author's, is not in the files, and is not run; py-faster-rcnn's ProposalLayer is "
    'type: "Proposal" with proposal_param',
)
refused("caffe", "Filter", reason="which rows stay is known at run time only")
