"""Modules that are known and have no function, each with the reason."""

from __future__ import annotations

from gateway.formats.torch7.node import FORMAT_NAME
from gateway.graph.registry import refused

refused(FORMAT_NAME, "SpatialMaxUnpooling", reason="it reads the places that another module has kept")
refused(FORMAT_NAME, "Bottle", "Replicate", "Index", "Sampler", reason="it takes the batch apart")
refused(FORMAT_NAME, "LSTM", "GRU", "Recurrent", "Sequencer", "Recursor", "Repeater", "FastLSTM", "SeqLSTM",
        reason="modules of rnn keep states from call to call")  # fmt: skip
refused(FORMAT_NAME, "RReLU", "SpatialStochasticPooling", "ReinforceNormal", reason="it draws random numbers")
refused(FORMAT_NAME, "SpatialFractionalMaxPooling", reason="its windows are drawn at random")
refused(FORMAT_NAME, "SpatialConvolutionLocal", "SpatialContrastiveNormalization", "SpatialDivisiveNormalization",
        "SpatialSubtractiveNormalization", "VolumetricConvolution", "VolumetricMaxPooling", "VolumetricAveragePooling",
        "TemporalConvolution", "TemporalMaxPooling", "PixelShuffle", "Bilinear", "CosineDistance", "PairwiseDistance",
        reason="it is not converted yet")  # fmt: skip
