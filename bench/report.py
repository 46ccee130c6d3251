"""What bench/gluster found, as text: tables, and the aims with what was reached.

SPDX-License-Identifier: Apache-2.0
"""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess

import peers as bench_peers

TOP = pathlib.Path(__file__).resolve().parents[1]
TITLES = {
    "legatus": "Legatus",
    "legatus-close": "Legatus, no keep-alive",
    "uwsgi": "uWSGI 1x30",
    "uwsgi-2": "uWSGI 2x15",
    "nginx-fuse": "nginx + FUSE",
    "nginx-local": "nginx, local files",
    "gfapi": "gfapi loop",
    "gfapi-careful": "careful gfapi loop",
    "gfapi-stream": "gfapi stream",
}
# Of whom, to whom; only what both were measured at is shown.
RATIOS = (
    ("legatus", "uwsgi"), ("legatus-close", "uwsgi"), ("legatus", "uwsgi-2"),
    ("legatus", "nginx-fuse"), ("legatus", "nginx-local"), ("legatus", "gfapi"), ("legatus", "gfapi-careful"),
    ("legatus", "gfapi-stream"),
)
SMALL = ("1k", "10k")
UP_TO_100K = (*SMALL, "100k")
# What, at least, which part, over whom, which rows (sizes, connections).
AIMS = (
    ("hot, 1 and 10 KiB, 64 connections", 1.2, "hot", "nginx-local", SMALL, (64,)),
    ("hot, 100 KiB, 64 connections", 1.0, "hot", "nginx-local", ("100k",), (64,)),
    ("hot, 1 to 100 KiB, 64 connections", 20, "hot", "uwsgi", UP_TO_100K, (64,)),
    ("hot, 1 to 100 KiB, 64 connections", 8, "hot", "nginx-fuse", UP_TO_100K, (64,)),
    ("hot, 1 MiB, 16 and 64 connections", 1.2, "hot", "nginx-fuse", ("1m",), (16, 64)),
    ("cold, 4 KiB, as many threads", 0.9, "cold", "gfapi", None, None),
    ("stream, from the same client", 0.95, "stream", "gfapi-stream", None, None),
    ("stream, cold", 1.0, "stream", "nginx-fuse", None, None),
)


def median(results, key):
    values = [one[key] for one in results if key in one]
    return statistics.median(values) if values else None


def ratio(row, name, other, key="rate"):
    """The median over rounds of name/other, or None."""
    if name not in row or other not in row:
        return None
    pairs = [a[key] / b[key] for a, b in zip(row[name], row[other]) if key in a and b.get(key)]
    return statistics.median(pairs) if pairs else None


def number(value):
    if value is None:
        return ""
    return f"{value / 1000:.1f}k" if value >= 10000 else f"{value:.0f}"


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + " ---: |" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def rate_text(results, scale):
    errors = sum(one["errors"] for one in results)
    return number(median(results, "rate") * scale) + (f" ({errors} errors)" if errors else "")


def median_text(results, key):
    return number(median(results, key))


def busy_text(results, _):
    return " / ".join(f"{100 * median(results, key):.0f}" for key in ("server_busy", "busy"))


# What is told of each peer besides its rate.
LATENCIES = {
    "p50_us": "Median, microseconds",
    "p99_us": "99th percentile, microseconds",
    "p999_us": "99.9th percentile, microseconds",
}
WHOSE_CPU = "server, and FUSE client where there is one; not the brick"
COLUMNS = (
    *((key, what, median_text) for key, what in LATENCIES.items()),
    ("cpu_us", f"CPU per request, microseconds ({WHOSE_CPU})", median_text),
    ("busy", f"Percent of a CPU: {WHOSE_CPU} / the asking client", busy_text),
)


def peer_tables(title, unit, rows, scale=1):
    """`rows` is [([label, ...], {peer: [result]})]; its labels' heads are in `title`."""
    if not rows:
        return
    names = [name for name in TITLES if name in rows[0][1]]
    ratios = [one for one in RATIOS if {*one} <= set(names)]
    heads = [TITLES[name] for name in names]
    yield f"{unit}:"
    yield ""
    yield from table([*title, *heads], [
        [*labels, *(rate_text(row[name], scale) for name in names)] for labels, row in rows])
    yield "Ratios:"
    yield ""
    yield from table([*title, *(f"{TITLES[a]} / {TITLES[b]}" for a, b in ratios)], [
        [*labels, *(f"**{ratio(row, *one):.2f}**" for one in ratios)] for labels, row in rows])
    for key, what, text in COLUMNS:
        if key in LATENCIES and scale != 1:
            continue
        shown = [name for name in names if median(rows[0][1][name], key) is not None]
        if not shown:
            continue
        yield f"{what}:"
        yield ""
        yield from table([*title, *(TITLES[name] for name in shown)], [
            [*labels, *(text(row[name], key) for name in shown)] for labels, row in rows])


# ---- the aims -----------------------------------------------------------------


def aim_rows(results, part, sizes, connections):
    if part not in results:
        return []
    if part != "hot":
        return [(part, results[part])]
    return [(f"{size}, {count}", row) for (size, count), row in results["hot"].items()
            if size in sizes and count in connections]


def aims(results):
    rows = []
    for what, least, part, other, sizes, connections in AIMS:
        found = [(label, ratio(row, "legatus", other))
                 for label, row in aim_rows(results, part, sizes, connections)]
        found = [one for one in found if one[1] is not None]
        if found:
            label, worst = min(found, key=lambda one: one[1])
            each = " ".join(f"{value:.2f}" for _, value in found)
            costs = [ratio(row, other, "legatus", "cpu_us")
                     for _, row in aim_rows(results, part, sizes, connections)]
            cost = " ".join(f"{value:.2f}" for value in costs if value is not None)
            rows.append([what, TITLES[other], f"{least:g}", each, cost,
                         verdict(worst >= least, label, len(found))])
    worse, count = [], 0
    for (size, connections), row in results.get("hot", {}).items():
        value = ratio(row, "nginx-fuse", "legatus", "p99_us")
        count += value is not None
        if value is not None and value < 1:
            worse.append(f"{size} at {connections} ({1 / value:.1f} times as long)")
    if count:
        rows.append(["hot, 99th percentile everywhere", TITLES["nginx-fuse"], "no longer",
                     f"{count - len(worse)} of {count}", "",
                     "**missed** at " + ", ".join(worse) if worse else "met"])
    return table(["what", "against", "wanted", "reached", "by CPU per request", ""], rows)


def verdict(met, label, count):
    return "met" if met else "**missed**" + (f" at {label}" if count > 1 else "")


# ---- the whole ------------------------------------------------------------------


def version(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return (done.stdout + done.stderr).splitlines()[0].strip()


def memory_gib():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)


def congestion_control():
    return pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def legatus_version(options):
    if not options.usual:
        return "of --program"
    commit = subprocess.run(
        ["git", "-C", TOP, "log", "-1", "--format=%h"], capture_output=True, text=True)
    return f"at {commit.stdout.strip() or 'an unknown commit'}"


def circumstances(setting, files, cold_size):
    options, threads = setting.options, bench_peers.THREADS
    where = "servers, mounts and the brick on one CPU, clients on another" if setting.pinned else \
        "nothing is pinned to a CPU"
    yield f"- {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} shared cores, " \
        f"{memory_gib():.0f} GiB, Linux {platform.release().split('-')[0]}; {where}"
    yield f"- rounds: {options.rounds}. Hot: {options.seconds:g} s each, after 0.2 s that are not " \
        "counted (connecting, files for the first time); " \
        f"{', '.join(f'{files[size]} files of {size}' for size in options.sizes)}, asked for in " \
        f"turn. Cold: {options.cold_files} files of {cold_size} bytes, each asked for once at 64 " \
        f"connections. Stream: one file of {options.stream_size >> 20} MiB, one connection"
    yield "- the client is `bench/fetch.c`: one thread, which reads heads and bodies up to 15 KiB and " \
        f"lets the kernel discard longer ones; TCP congestion control {congestion_control()}"
    yield f"- Legatus {legatus_version(options)}: {options.workers} worker(s) of {threads} threads; " \
        f"{version(['glusterfs', '--version'])}"
    yield f"- uWSGI {version(['uwsgi', '--version'])}: glusterfs plugin, 1 process of {threads} " \
        f"threads and 2 of {threads // 2}, no request log; it has no keep-alive, so it is asked " \
        "with HTTP/1.0, and Legatus a second time so too"
    yield f"- {version(['nginx', '-v'])}: {options.workers} worker(s), sendfile and tcp_nopush as " \
        "Debian has it; over a FUSE mount of the volume, and on the brick's own folder with " \
        "open_file_cache. Few files asked for again within a second come from the kernel's page " \
        "cache, not from GlusterFS"
    yield "- gfapi loop: threads, each looking up, reading and closing one file after the other, " \
        f"with no server in front: as many as connections when hot, {threads} when cold"
    yield "- careful gfapi loop: asks besides whether the file may be read, and whether it is " \
        "still as it was, as Legatus does"
    yield f"- gfapi stream: {bench_peers.STREAM_WINDOW[0]} asynchronous reads of " \
        f"{bench_peers.STREAM_WINDOW[1] >> 10} KiB in flight, written to a socket in order"
    yield "- cold and stream: each program, and the FUSE mount, has just started; the brick's " \
        "files are in the kernel's cache for all of them"
    yield "- volume: " + (", ".join(options.set) or "settings as GlusterFS makes them")
    yield ""


def lines(setting, files, cold_size, results):
    """The report, a line at a time. `results` as bench/gluster's measure gives it."""
    yield "# Side by side"
    yield ""
    yield "One GlusterFS volume of one brick, from `bench/gluster`. Peers are measured in turn within"
    yield "each round; figures are medians over rounds, ratios medians of the ratios within a round."
    yield "The machine's cores are shared with the load generator, the brick and whoever else is"
    yield "there: trust the ratios, not the figures. [Where the time goes](README.md) is told apart."
    yield ""
    yield from circumstances(setting, files, cold_size)
    yield "## The aims"
    yield ""
    yield from aims(results)
    if "hot" in results:
        yield "## Hot"
        yield ""
        yield from peer_tables(("size", "connections"), "Requests per second", [
            ([size, str(count)], row) for (size, count), row in results["hot"].items()])
    if "cold" in results:
        yield "## Cold"
        yield ""
        yield from peer_tables(("size",), "Requests per second", [(["4k"], results["cold"])])
    if "stream" in results:
        yield "## Stream"
        yield ""
        size_mib = setting.options.stream_size >> 20
        yield from peer_tables(("size",), "MiB per second", [
            ([f"{size_mib} MiB"], results["stream"])], scale=size_mib)
