"""Processes on a Ray cluster that work on one thing together, as those of one training do; one that dies costs little.

Each gets the same files into a folder of its own on its node, and calls the same function there, with the environment
that torchrun would give it (RANK, WORLD_SIZE, and where to meet). What the first one writes comes back. When one dies,
all are started again with what came back by then. Nodes need Freehold in the same version, and no access to the store.

What workers say to each other goes over connections that ask for no token. On one node they meet in a file and use its
loopback interface; several nodes use the addresses that Ray knows them by: keep these in a network of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from freehold.domain.errors import ConfigError, FreeholdError
from freehold.runners.fleeting import fleeting_folder
from freehold.runners.ray import connect

Files: TypeAlias = "Mapping[str, bytes]"
"""Path below the folder → content."""
MEETING = "FREEHOLD_MEETING"
"""Environment variable with the file that workers on one node meet in."""
_MEETING_FILE = "meeting"
_STARTS = 4
_LOOK_SECONDS = 0.25
_START_SECONDS = 240.0
_PING_SECONDS = 30.0
_DRAFT = ".draft"
_INTERFACE_ADDRESS = 0x8915
"""SIOCGIFADDR of netdevice(7)."""


class Job(NamedTuple):
    """What the workers do. Functions are named `module:function`, and imported on the nodes."""

    work: str
    """(folder) → None."""
    alike: str
    """(folder) → {name: value} that must be equal on all workers, or what they compute would drift apart."""
    files: Callable[[], Files]
    """What each worker begins with: asked again when all are started again."""
    news: Callable[[Files], None]
    """Told of files of the first worker that have changed; at the end of all that are its own."""
    meanwhile: frozenset[str]
    """Files that come back while the work goes on."""


class _Place(NamedTuple):
    """Of a worker."""

    node: str
    address: str
    """Of the node."""
    port: int
    """That is free there."""
    file: str
    """That others on the same node may meet in."""


class RayTeam:
    """Workers on a cluster."""

    def __init__(self, address: str, size: int, *, threads: int = 1, gpus: int = 0) -> None:
        """`threads` and `gpus` are those of each of the `size` workers; `address` as `RayBatches` has it.

        Raises:
            ConfigError: Ray is not installed, there is no cluster, or it is too small.
        """
        connect(address or os.environ.get("RAY_ADDRESS", ""))
        self._ray: Any = import_module("ray")
        self._size, self._threads, self._gpus = size, threads, gpus
        has = self._ray.cluster_resources()
        if has.get("CPU", 0) < size * threads or has.get("GPU", 0) < size * gpus:
            raise ConfigError(
                f"{size} workers need {size * threads} CPUs and {size * gpus} GPUs; the Ray cluster has "
                f"{has.get('CPU', 0):g} and {has.get('GPU', 0):g}.",
                "Set [run] workers or threads of the recipe lower, or add nodes.",
            )

    def run(self, job: Job) -> None:
        """Do the work to its end.

        Raises:
            FreeholdError: as the work does; or workers die again and again, differ, or find no room.
        """
        for _ in range(_STARTS):
            members = self._members()
            try:
                if self._done(members, job):
                    return
            except self._ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                raise cause if isinstance(cause, FreeholdError) else _failed(error) from error
            finally:
                for member in members:
                    self._ray.kill(member)
        raise FreeholdError(
            f"Workers on the Ray cluster died {_STARTS} times.",
            "Look for memory that ran out on its nodes; what was done is kept, and it goes on from there.",
        )

    def _members(self) -> list[Any]:
        kind = self._ray.remote(_Member).options(
            num_cpus=self._threads,
            num_gpus=self._gpus,
            max_concurrency=2,  # so that it can be asked while it works
            scheduling_strategy="SPREAD",
        )
        return [kind.remote(self._threads) for _ in range(self._size)]

    def _done(self, members: Sequence[Any], job: Job) -> bool:
        """Whether the work is done; else a worker has died."""
        ray = self._ray
        try:
            places = ray.get([member.place.remote() for member in members], timeout=_START_SECONDS)
            given = ray.put(dict(job.files()))
            told = ray.get([member.take.remote(given, job.alike) for member in members], timeout=_START_SECONDS)
            _check_alike(told)
            meeting = _meeting(places)
            working = [
                member.work.remote(job.work, {"RANK": str(rank), "WORLD_SIZE": str(self._size), **meeting})
                for rank, member in enumerate(members)
            ]
            while working:
                over, working = ray.wait(working, timeout=_LOOK_SECONDS)
                ray.get(over)
                job.news(ray.get(members[0].news.remote(job.meanwhile)))
            job.news(ray.get(members[0].news.remote(None)))
        except ray.exceptions.GetTimeoutError as error:
            raise FreeholdError(
                f"The Ray cluster found no room for {self._size} workers in {_START_SECONDS:g} seconds.",
                "See `ray status`: others may use it, or a node is gone.",
            ) from error
        except ray.exceptions.RayError:
            if not self._lost(members):
                raise
            return False  # those that are left fail because they lost one: it is the dead one that counts
        return True

    def _lost(self, members: Sequence[Any]) -> bool:
        for member in members:
            try:
                self._ray.get(member.ping.remote(), timeout=_PING_SECONDS)
            except self._ray.exceptions.RayError:
                return True
        return False


class _Member:
    """One worker, in a process of its own on a node."""

    def __init__(self, threads: int) -> None:
        # Before torch is loaded: threads that wait must not spin.
        os.environ |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
        self._folder = fleeting_folder("freehold-team-")
        self._seen: dict[str, tuple[int, int]] = {}

    def place(self) -> _Place:
        """Where this worker is."""
        ray: Any = import_module("ray")
        address = str(ray.util.get_node_ip_address())
        if interface := _interface(address):
            os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = interface
        with socket.create_server((address, 0)) as server:
            node = str(ray.get_runtime_context().get_node_id())
            return _Place(node, address, server.getsockname()[1], str(self._folder / _MEETING_FILE))

    def take(self, files: Files, alike: str) -> dict[str, str]:
        """Write the files; says what must be equal on all workers."""
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self._seen[name] = _stamp(path)
        return _named(alike)(self._folder)

    def work(self, name: str, environment: Mapping[str, str]) -> None:
        """Do it."""
        os.environ.update(environment)
        if "CUDA_VISIBLE_DEVICES" in os.environ:
            os.environ["LOCAL_RANK"] = "0"  # Ray shows each worker its own GPUs only
        _named(name)(self._folder)

    def news(self, wanted: frozenset[str] | None) -> Files:
        """Files that are not as they were when they were last given; None: all that were not taken from the driver."""
        found: dict[str, bytes] = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if (
                _DRAFT in name
                or name == _MEETING_FILE
                or not path.is_file()
                or (wanted is not None and name not in wanted)
            ):
                continue
            with contextlib.suppress(FileNotFoundError):  # replaced at this moment: next time
                stamp = _stamp(path)
                if self._seen.get(name) != stamp:
                    found[name] = path.read_bytes()
                    self._seen[name] = stamp
        return found

    def ping(self) -> None:
        """Alive."""


def _meeting(places: Sequence[_Place]) -> dict[str, str]:
    """Environment that says where workers meet: in a file where they share a node, else at the first one's address."""
    first = places[0]
    if all(place.node == first.node for place in places):
        return {MEETING: first.file}
    return {"MASTER_ADDR": first.address, "MASTER_PORT": str(first.port)}


def _check_alike(told: Sequence[Mapping[str, str]]) -> None:
    for rank, other in enumerate(told):
        unlike = sorted(name for name in told[0] if other.get(name) != told[0][name])
        if unlike:
            name = unlike[0]
            raise ConfigError(
                f"Workers differ: {name} is {told[0][name]} on the first and {other.get(name)} on number {rank + 1}.",
                "Use nodes of one type, with the same versions and the same base model.",
            )


def _interface(address: str) -> str:
    """The network interface with this IPv4 address; empty where that cannot be told."""
    if not sys.platform.startswith("linux"):
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                told = fcntl.ioctl(asking, _INTERFACE_ADDRESS, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(told[20:24]) == address:
                    return name
    return ""


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _named(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _failed(error: Exception) -> FreeholdError:
    return FreeholdError(
        f"The Ray cluster failed: {str(error).strip().splitlines()[-1]}", "Look at its logs, and run it again."
    )
