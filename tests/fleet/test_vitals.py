"""Pages of model servers, written from the names of the spec (3.6) and their older forms."""

from __future__ import annotations

import math
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.fleet.exposition import MANY, families, labels
from wayside.fleet.vitals import Reading, read, typical
from wayside.vocab.endpoint import NEVER, UNKNOWN, Vitals

HISTOGRAM = "".join(
    f'vllm:e2e_request_latency_seconds_bucket{{engine="0",le="{le}",model_name="m"}} 3.0\n'
    for le in (0.3, 0.5, 0.8, 1.0, "+Inf")
)
VLLM = f"""\
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.76370000012e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"}} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"}} 17.0
# HELP vllm:num_requests_waiting_by_reason The same, by reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{{engine="0",reason="capacity"}} 99.0
# HELP vllm:e2e_request_latency_seconds Histogram of e2e request latency in seconds.
# TYPE vllm:e2e_request_latency_seconds histogram
{HISTOGRAM}\
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"}} 0.25
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{block_size="16",cache_dtype="auto",num_cpu_blocks="None",\
num_gpu_blocks="27451",sliding_window="None"}} 1.0
# HELP vllm:lora_requests_info Running stats on lora requests.
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{{max_lora="4",running_lora_adapters="",waiting_lora_adapters=""}} 1.7e+09
vllm:lora_requests_info{{max_lora="4",running_lora_adapters="sql,chat",\
waiting_lora_adapters="legal"}} 1.763700100e+09
vllm:lora_requests_info{{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""}} \
1.763700050e+09
"""


def vitals(page: str) -> Vitals:
    found = read(page.encode(), 7.0)
    assert found is not None
    return found.vitals


def test_a_page_of_vllm() -> None:
    assert read(VLLM.encode(), 7.0) == Reading(
        Vitals(
            at=7.0,
            waiting=17.0,
            running=3.0,
            kv=0.25,
            blocks=27451,
            block_size=16,
            loras=frozenset({"sql", "chat"}),
            loras_waiting=frozenset({"legal"}),
            max_loras=4,
        ),
        1763700000.12,
    )


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param(
            'vllm:gpu_cache_usage_perc{model_name="m"} 0.5\n'
            'vllm:num_requests_running{model_name="m"} 2\n'
            'vllm:num_requests_waiting{model_name="m"} 1\n',
            Vitals(at=7.0, waiting=1, running=2, kv=0.5),
            id="vLLM before 0.10, without # TYPE",
        ),
        pytest.param(
            "# TYPE sglang:num_queue_reqs gauge\n"
            'sglang:num_queue_reqs{engine_type="unified",model_name="m"} 4.0\n'
            "# TYPE sglang:num_running_reqs gauge\n"
            'sglang:num_running_reqs{engine_type="unified",model_name="m"} 9.0\n'
            "# TYPE sglang:token_usage gauge\n"
            'sglang:token_usage{engine_type="unified",model_name="m"} 0.75\n'
            "# TYPE sglang:cache_config_info gauge\n"
            'sglang:cache_config_info{num_pages="5000",page_size="64"} 1.0\n',
            Vitals(at=7.0, waiting=4, running=9, kv=0.75, blocks=5000, block_size=64),
            id="SGLang",
        ),
        pytest.param(
            "# TYPE trtllm_num_requests_waiting gauge\n"
            'trtllm_num_requests_waiting{model_name="m"} 6.0\n'
            "# TYPE trtllm_num_requests_running gauge\n"
            'trtllm_num_requests_running{model_name="m"} 8.0\n'
            "# TYPE trtllm_kv_cache_utilization gauge\n"
            'trtllm_kv_cache_utilization{model_name="m"} 0.125\n'
            "# TYPE trtllm_kv_cache_max_blocks gauge\n"
            'trtllm_kv_cache_max_blocks{model_name="m"} 1024.0\n'
            "# TYPE trtllm_kv_cache_tokens_per_block gauge\n"
            'trtllm_kv_cache_tokens_per_block{model_name="m"} 32.0\n',
            Vitals(at=7.0, waiting=6, running=8, kv=0.125, blocks=1024, block_size=32),
            id="trtllm-serve",
        ),
        pytest.param(
            "# HELP nv_trt_llm_request_metrics TRT LLM request metrics\n"
            "# TYPE nv_trt_llm_request_metrics gauge\n"
            'nv_trt_llm_request_metrics{model="llm",request_type="waiting",version="1"} 2\n'
            'nv_trt_llm_request_metrics{model="llm",request_type="scheduled",version="1"} 5\n'
            'nv_trt_llm_request_metrics{model="llm",request_type="max",version="1"} 512\n'
            "# TYPE nv_trt_llm_kv_cache_block_metrics gauge\n"
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="llm"} 0.5\n'
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="llm"} 64\n'
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="llm"} 100\n'
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="llm"} 200\n',
            Vitals(at=7.0, waiting=2, running=5, kv=0.5, blocks=200, block_size=64),
            id="Triton",
        ),
    ],
)
def test_old_names_and_other_engines(page: str, expected: Vitals) -> None:
    """Appendix B 9: both generations of vLLM's names, SGLang and TensorRT-LLM."""
    assert vitals(page) == expected


def test_the_name_of_today_counts_where_the_old_one_is_there_too() -> None:
    page = "# TYPE {0} gauge\n{0} {1}\n"
    both = page.format("vllm:gpu_cache_usage_perc", 0.9) + page.format(
        "vllm:kv_cache_usage_perc", 0.1
    )
    assert vitals(both).kv == 0.1


def test_requests_of_several_engines_are_added_and_their_caches_averaged() -> None:
    page = (
        "# TYPE vllm:num_requests_waiting gauge\n"
        'vllm:num_requests_waiting{engine="0"} 1\nvllm:num_requests_waiting{engine="1"} 4\n'
        "# TYPE vllm:kv_cache_usage_perc gauge\n"
        'vllm:kv_cache_usage_perc{engine="0"} 0.25\nvllm:kv_cache_usage_perc{engine="1"} 0.75\n'
        "# TYPE vllm:cache_config_info gauge\n"
        'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1\n'
        'vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="300"} 1\n'
    )
    found = vitals(page)
    assert (found.waiting, found.kv, found.blocks, found.block_size) == (5, 0.5, 400, 16)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-3", "1e300", "many", "", "{}"])
def test_a_number_that_cannot_be_is_as_none(value: str) -> None:
    page = f"vllm:num_requests_waiting {value}\nvllm:num_requests_running 2\n"
    found = vitals(page)
    assert (found.waiting, found.running) == (0, 2)


def test_shares_over_one_are_one() -> None:
    assert vitals("vllm:kv_cache_usage_perc 1.3\n").kv == 1.0


def test_a_line_that_was_cut_short_does_not_count() -> None:
    whole = "vllm:num_requests_running 2\nvllm:num_requests_waiting 120\n"
    assert vitals(whole).waiting == 120
    assert vitals(whole[:-2]).waiting == 0, "12 would be a lie"


def test_timestamps_tabs_and_labels_with_anything_in_them_are_read() -> None:
    page = (
        "# TYPE vllm:num_requests_waiting gauge\n"
        'vllm:num_requests_waiting{model_name="a}b\\"c 1"} 3 1763700000000\n'
        "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running\t4\n"
    )
    found = vitals(page)
    assert (found.waiting, found.running) == (3, 4)
    assert labels(b'a="x\\"y\\\\z\\n",b="",c = "1,2"') == {"a": 'x"y\\z\n', "b": "", "c": "1,2"}


@pytest.mark.parametrize(
    "page", [b"", b"\n", b"<html>404</html>\n", b"up 1\n", b"vllm:num_requests_waiting", b"\xff\n"]
)
def test_a_page_without_anything_is_no_reading(page: bytes) -> None:
    assert read(page, 0.0) is None


pieces = st.sampled_from(
    [*VLLM.splitlines(keepends=True), "\n", "# TYPE ", "vllm:num_requests_waiting", "{", "}", '"']
)


@given(st.lists(pieces | st.text(max_size=8), max_size=40), st.integers(0, 4000))
def test_no_page_is_too_strange(parts: list[str], cut: int) -> None:
    found = read("".join(parts).encode()[:cut], 1.0)
    if found is not None:
        v = found.vitals
        assert v.at == 1.0
        assert 0 <= v.waiting < math.inf
        assert 0 <= v.running < math.inf
        assert 0 <= v.kv <= 1
        assert v.blocks >= 0


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_:]{1,12}", fullmatch=True),
        st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=4),
        max_size=6,
    ),
    st.booleans(),
    st.data(),
)
def test_families_are_those_of_a_full_parse(
    gauges: dict[str, list[float]], typed: bool, data: st.DataObject
) -> None:
    page = ""
    for name, values in gauges.items():
        page += f"# TYPE {name} gauge\n" if typed else ""
        page += "".join(f'{name}{{i="{i}"}} {value!r}\n' for i, value in enumerate(values))
    wanted = data.draw(st.sets(st.sampled_from(sorted(gauges)))) if gauges else set()
    found = families(page.encode(), {name.encode() for name in wanted})
    assert {n.decode(): [s.value for s in samples] for n, samples in found.items()} == {
        name: gauges[name] for name in wanted
    }


def test_an_unknown_server_counts_as_the_median_of_the_others() -> None:
    others = [Vitals(at=1, waiting=w, running=w + 1, kv=w / 10) for w in (1.0, 9.0, 2.0)]
    assert typical(others) == Vitals(at=NEVER, waiting=2, running=3, kv=0.2)
    assert typical([]) == UNKNOWN


def cpu_s(page: bytes) -> float:
    began = process_time()
    read(page, 0.0)
    return process_time() - began


@pytest.mark.parametrize(
    "page",
    [
        b"# TYPE vllm:lora_requests_info gauge\n"
        + (b"vllm:lora_requests_info{" + b"a" * 16_000 + b"} 1\n") * 60
        + b"vllm:num_requests_waiting 1\n",
        b"".join(
            [b"\n# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 1\n"] * 30_000
        ),
        b"# TYPE nv_trt_llm_request_metrics gauge\n"
        + b"".join([b'nv_trt_llm_request_metrics{a="%d",b="\\" 1\n' % i for i in range(50_000)]),
        b"\n# TYPE " * 250_000,
        b"\n" * (2 << 20),
    ],
)
def test_no_page_of_two_megabytes_costs_more_than_some_tenths_of_a_second(page: bytes) -> None:
    """A server that means ill, or a page with a million series: tens of milliseconds."""
    assert min(cpu_s(page) for _ in range(3)) < 0.5


def test_so_many_samples_of_a_family_are_read() -> None:
    lines = b"".join([b'vllm:num_requests_waiting{i="%d"} 1\n' % i for i in range(5000)])
    for head in (b"# TYPE vllm:num_requests_waiting gauge\n", b""):
        found = families(head + lines, {b"vllm:num_requests_waiting"})
        assert len(found[b"vllm:num_requests_waiting"]) == MANY
