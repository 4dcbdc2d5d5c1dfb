"""What a protocol tells about a request when it is over: one call, whatever the outcome."""

from __future__ import annotations

from typing import Protocol


class Observe(Protocol):
    def request(
        self, *, protocol: str, model: str, version: int | None, code: str, seconds: float, request_id: str
    ) -> None:
        """One request has ended.

        `protocol` is "tfs-grpc" or "tfs-rest". `model` is "" unless a model of that name exists,
        so that strangers cannot grow the metrics; `version` is the one that answered, if any.
        `code` is gRPC's name of the outcome for every protocol: "OK", "NOT_FOUND", "CANCELLED" ...
        """
        ...
