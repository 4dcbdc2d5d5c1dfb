"""HandleReloadConfigRequest of TensorFlow Serving: the whole list of models, anew."""

from __future__ import annotations

from gateway.errors import InvalidRequest
from gateway.protocols.pool import message
from gateway.protocols.tfs_call import Call, parse
from gateway.protocols.tfs_config import models_of
from gateway.protocols.tfs_metrics import TfsMetrics
from gateway.serving.control import RELOAD, Control

_Request = message("tensorflow.serving.ReloadConfigRequest")
_Response = message("tensorflow.serving.ReloadConfigResponse")


class ReloadMethod:
    """Errors leave as the status of the call, as the original sends them; its body then never arrives."""

    def __init__(self, control: Control, metrics: TfsMetrics) -> None:
        self._control = control
        self._metrics = metrics

    async def reload(self, body: bytes, call: Call) -> bytes:
        request = parse(_Request, body)
        if request.config.WhichOneof("config") != "model_config_list":
            raise InvalidRequest(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        rows, _ = models_of(request.config, RELOAD)
        names = list(dict.fromkeys(request.metric_names))
        before = {name: self._metrics.value(name) for name in names}
        await self._control.reload(rows, deadline=call.deadline)
        response = _Response()
        response.status.error_message = ""
        response.status.SetInParent()
        for name in names:
            response.metric.add(name=name, int64_value_increase=self._metrics.value(name) - before[name])
        return bytes(response.SerializeToString())
