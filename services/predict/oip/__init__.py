"""The Open Inference Protocol, version 2: the dialect of KServe, Triton and MLServer."""
