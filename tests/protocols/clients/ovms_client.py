"""A client with ovmsclient. Runs in Environment client-ovms: GRPC HTTP -> one JSON document."""

import json
import sys

import numpy as np
import ovmsclient

answer = {}
for transport, make, address in (
    ("grpc", ovmsclient.make_grpc_client, sys.argv[1]),
    ("rest", ovmsclient.make_http_client, sys.argv[2]),
):
    client = make(address)
    y = client.predict(inputs={"x": np.array([[1.0], [2.0], [5.0]], np.float32)}, model_name="half_plus_two")
    found = {"predict": [np.asarray(y).tolist(), list(np.shape(y))]}
    found["metadata"] = client.get_model_metadata(model_name="half_plus_two")
    found["status"] = client.get_model_status(model_name="half_plus_two")
    try:
        client.predict(inputs={"x": np.zeros((1, 1), np.float32)}, model_name="nobody")
    except Exception as error:
        found["missing"] = [type(error).__name__, str(error)]
    answer[transport] = found
print(json.dumps(answer, default=str))
