"""The Open Inference Protocol, version 2, as KServe, Triton and MLServer speak it.

Messages and tensors only: the routes stand in `oip_http.py` and `oip_grpc.py` beside this folder.
"""
