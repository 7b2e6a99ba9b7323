"""Files to clients, and from them: what a request costs for small ones, what a gigabyte costs for a large one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from blake3 import blake3

from benchmarks.bench import CPU, Bench, Peer
from benchmarks.loads import Load, LoadResult, Window, run_load
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.problems import MeasureError, Unavailable
from benchmarks.processes import Serving, pinned, quiet_environment, serving
from benchmarks.programs import Program, c, python, system
from benchmarks.results import Goal, Metric, Role

__all__ = ["TLS_PEERS", "cases", "large"]

CONFIGURED = ("nginx", "-p", "{scratch}", "-c", "{config}")
NGINX = system(*CONFIGURED, package="nginx-light", config="nginx.conf", tls="")
NGINX_TLS = system(
    *CONFIGURED,
    package="nginx-light",
    config="nginx.conf",
    tls=" ssl; ssl_certificate {cert}; ssl_certificate_key {key}",
)
SERVED = ("--directory", "{files}")
PEERS = [
    Peer("nginx", "nginx", NGINX),
    Peer("aionet", "aionet files", python("aionet_files", *SERVED), Role.OURS),
    Peer("c", "C, sendfile", c("c_files", *SERVED), Role.LIMIT),
    Peer("http.server", "python -m http.server", python("http_server", *SERVED)),
]
SECRETS = ("--cert", "{cert}", "--key", "{key}")
TLS_PEERS = [
    Peer("nginx", "nginx", NGINX_TLS),
    Peer("aionet", "aionet files", python("aionet_files", *SERVED, *SECRETS), Role.OURS),
]
HTTP = ("nginx", "http.server")
MANY = 10_000
A_FILE = replace(CPU, unit="us of server CPU a file")
A_GIGABYTE = Metric("cpu a GB", "s of server CPU a GB")
WALL = Metric("GB/s", "GB a second", more=True)


def cases(bench: Bench) -> list[Case]:
    goals = [Goal("file 1 GiB, CPU-s a GB, to nginx", "aionet", 0.9, against="nginx")]
    return [
        _small(bench, 4096),
        _small(bench, 65536),
        large(bench, "files-large", PEERS, goals=goals),
        _many(bench),
        _upload(bench),
    ]


def _load(bench: Bench, size: int, connections: int, *, tls: bool = False) -> Callable[[Peer], Load]:
    def make(peer: Peer) -> Load:
        protocol = "http" if peer.key in HTTP else "aionet"
        name = bench.workspace.file(size)
        options = {"name": name, "size": size, "protocol": protocol, "connections": connections, "tls": tls}
        return Load("files", options)

    return make


def _small(bench: Bench, size: int) -> Case:
    return bench.case(
        f"files-{size}",
        f"a file of {size // 1024} KiB again and again, 16 connections",
        PEERS,
        _load(bench, size, 16),
        metric=A_FILE,
        baseline="nginx",
        notes=[
            "nginx and http.server: HTTP/1.1, kept alive; the others: our protocol. Ours says the BLAKE3 of each file,",
            "as its clients ask for; nobody else hashes.",
        ],
    )


def large(bench: Bench, key: str, peers: Sequence[Peer], *, goals: Sequence[Goal] = (), tls: bool = False) -> Case:
    """A file that is larger than all buffers, over one connection. What came is counted, whole files or not."""
    size = bench.settings.file
    return bench.case(
        key,
        f"a file of {size >> 20:,} MiB" + " over TLS" * tls + ", one connection",
        peers,
        _load(bench, size, 1, tls=tls),
        sample=_bulk,
        metric=A_GIGABYTE,
        baseline="nginx",
        goals=goals,
        trace=False,
    )


def _bulk(result: LoadResult) -> Sample:
    if not result.bytes or result.server_cpu <= 0:
        raise MeasureError(f"nothing came in {result.seconds:g} s; measure for longer")
    gigabytes = result.bytes / 1e9
    return {
        "cpu a GB": result.server_cpu / gigabytes,
        "GB/s": gigabytes / result.seconds,
        "server core": result.server_cpu / result.seconds,
        "load core": result.load_cpu / result.seconds,
        "others": result.disturbed / result.seconds,
    }


def _many(bench: Bench) -> Case:
    """A directory of small files over one connection, by the clock: by wget, which is most of it, and by our client."""
    count, size = MANY, 4096

    def by(server: Program, client: Callable[[Serving, Path], list[str]]) -> Callable[[], Sample]:
        def once() -> Sample:
            bench.workspace.many(count, size)
            with (
                serving(server, [bench.cores.server], bench.workspace) as serves,
                bench.workspace.destination() as destination,
            ):
                command = client(serves, destination)
                begin = time.perf_counter()
                with pinned(bench.cores.load):
                    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet_environment())
                seconds = time.perf_counter() - begin
                received = sum(path.stat().st_size == size for path in destination.rglob("*.bin"))
                if done.returncode or received != count:
                    raise MeasureError(f"{received:,} of {count:,} files came: {done.stderr.strip()[-200:]}")
                return {"files/s": count / seconds, "rss": float(serves.rss())}

        return once

    def wget(server: Serving, destination: Path) -> list[str]:
        found = shutil.which("wget")
        if found is None:
            raise Unavailable("wget is not installed (make bench-peers)")
        urls = destination / "urls"
        names = bench.workspace.many(count, size)
        urls.write_text("".join(f"http://127.0.0.1:{server.ports[0]}/{name}\n" for name in names))
        return [found, "--quiet", "--no-config", "--directory-prefix", str(destination), "--input-file", str(urls)]

    def get(server: Serving, destination: Path) -> list[str]:
        endpoint = f"tcp://127.0.0.1:{server.ports[0]}"
        name = f"{count}x{size}"
        return [sys.executable, "-m", "aionet", "get", endpoint, name, "-o", f"{destination}/", "--parallel", "1"]

    web = python("aionet_files", *SERVED, "--service", "web")
    aionet = python("aionet_files", *SERVED)
    plain = python("http_server", *SERVED, "--protocol", "HTTP/1.0")
    return Case(
        key="files-many",
        scenario="files",
        title=f"{count:,} files of {size // 1024} KiB over one connection, received into memory",
        metric=Metric("files/s", "files a second", more=True),
        subjects=[
            Subject("nginx", "nginx, wget", by(NGINX, wget)),
            Subject("aionet", "aionet files, aionet get", by(aionet, get), Role.OURS),
            Subject("aionet-web", "aionet web, wget", by(web, wget), Role.OURS),
            Subject("http.server", "python -m http.server, wget", by(plain, wget)),
        ],
        baseline="nginx",
        rounds=min(3, bench.settings.rounds),
        seconds=5.0,
        goals=[]
        if bench.settings.quick
        else [
            Goal(f"{MANY:,} files of 4 KiB, our client, to nginx with wget", "aionet", 1 / 1.3, True, "nginx"),
            Goal(f"{MANY:,} files of 4 KiB, our client, to http.server with wget", "aionet", 3, True, "http.server"),
            Goal(f"{MANY:,} files of 4 KiB, wget from our web, to nginx", "aionet-web", 1 / 1.3, True, "nginx"),
            Goal(f"{MANY:,} files of 4 KiB, wget from our web, to http.server", "aionet-web", 3, True, "http.server"),
        ],
        notes=[
            "aionet get proves each file by its BLAKE3, and gives it its name when it is whole; wget does neither.",
            "http.server: as it is by default, a connection a file. Kept alive it waits 40 ms a file for an ACK.",
        ],
    )


def _upload(bench: Bench) -> Case:
    """Received, hashed, on the disk: beside ``dd conv=fsync``, which hashes nothing."""
    size = bench.settings.file
    goals = [Goal("upload of 1 GiB, hashed and synced, to dd conv=fsync", "aionet", 0.8, at_least=True, against="dd")]

    def upload() -> Load:
        digest = _digest(bench.workspace.files / bench.workspace.file(size))
        return Load("files", {"name": "upload.bin", "size": size, "upload": digest})

    def ours() -> Sample:
        program = python("aionet_files", *SERVED, "--writable", "yes")
        whole = Window(0.0, 0.01, stall=60.0)  # one upload, however long it takes
        load = upload()
        with serving(program, None, bench.workspace) as server:
            begin = time.perf_counter()
            run_load(server, load, whole, bench.cores.load)
            seconds = time.perf_counter() - begin
            rss = float(server.rss())
        (bench.workspace.files / "upload.bin-0").unlink()  # as after dd: neither frees the disk of the one before
        return {"GB/s": size / 1e9 / seconds, "rss": rss}

    def dd() -> Sample:
        source = bench.workspace.files / bench.workspace.file(size)
        target = bench.workspace.files / "copy.bin"
        begin = time.perf_counter()
        command = ("dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync", "status=none")
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MeasureError(f"dd: {error}") from None
        finally:
            target.unlink(missing_ok=True)
        return {"GB/s": size / 1e9 / (time.perf_counter() - begin)}

    return Case(
        key="files-upload",
        scenario="files",
        title=f"an upload of {size >> 20:,} MiB, hashed and synced to the disk",
        metric=WALL,
        subjects=[
            Subject("dd", "dd conv=fsync", dd, Role.LIMIT),
            Subject("aionet", "aionet files", ours, Role.OURS),
        ],
        baseline="dd",
        rounds=bench.settings.rounds,
        seconds=3.0,
        goals=[] if bench.settings.quick else goals,
        notes=[
            "dd: the same file, by dd conv=fsync, which hashes nothing. Neither is bound to a core; ours shares them",
            "with the load generator, which sends from memory, and knows the BLAKE3 beforehand.",
        ],
    )


@cache
def _digest(file: Path) -> str:
    hasher = blake3()
    hasher.update_mmap(file)
    return hasher.hexdigest()
