"""``spec.config.response_cache``: where answers are kept to be given again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wayside.manifests.fields import Count, Port, Rate, SnakePart, Text

Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
Links = Annotated[int, Field(ge=2, le=2**31 - 1)]


class SecretKeyRef(SnakePart):
    """One key of a Secret in the same namespace. Only the router's pods read it."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: Text = ""
    """Name of the Secret."""
    key: Text
    """The key in its `data`."""
    optional: bool | None = None
    """Whether the router starts without it."""


class CacheTls(SnakePart):
    """TLS on the connection. Files are those of the router's container."""

    enabled: bool = False
    """Whether the connection is encrypted."""
    cert_file: Text = ""
    """Our own certificate (PEM), where the server asks for one."""
    key_file: Text = ""
    """Its key."""
    ca_file: Text = ""
    """Certificates that the server is verified with; those of the system when absent."""


class RedisConnection(SnakePart):
    """Where the server is, and how it is entered."""

    host: Text = ""
    """Name or address."""
    port: Port = 6379
    """Its port."""
    database: Count = 0
    """Number of the database."""
    password: Text = ""
    """Never write one here: a password belongs in a Secret. Refused, with a condition that names
    `password_secret_ref`."""
    password_secret_ref: SecretKeyRef | None = None
    """The password."""
    timeout: Count = 30
    """Seconds until a call is given up."""
    tls: CacheTls | None = None
    """TLS on the connection."""


class RedisVectorField(SnakePart):
    """The field of the index that holds the vectors."""

    name: Text = "embedding"
    """What it is called."""
    dimension: Positive | None = None
    """Numbers in a vector; those of the embedding model when absent."""
    metric_type: Literal["COSINE", "IP", "L2"] = "COSINE"
    """How near two vectors are."""


class GraphParams(SnakePart):
    """Of an HNSW index."""

    m: Links = Field(16, alias="M")
    """Neighbours of a node."""
    ef_construction: Positive = Field(64, alias="efConstruction")
    """Candidates that are looked at while it is built."""


class RedisIndex(SnakePart):
    """The index that is searched."""

    name: Text = "semantic_cache_idx"
    """What it is called."""
    prefix: Text = "doc:"
    """What its keys begin with."""
    vector_field: RedisVectorField | None = None
    """The field that holds the vectors."""
    index_type: Literal["HNSW", "FLAT"] = "HNSW"
    """How it is searched: a graph, or everything."""
    params: GraphParams | None = None
    """Of the graph."""


class RedisSearch(SnakePart):
    """How the index is asked."""

    topk: Positive = 1
    """Answers that a search brings."""


class RedisDevelopment(SnakePart):
    """For trying things out."""

    drop_index_on_startup: bool = False
    """Whether the router begins by forgetting everything."""
    auto_create_index: bool = True
    """Whether the index is made where it is missing."""
    verbose_errors: bool = True
    """Whether errors say all they know."""


class RedisCache(SnakePart):
    """Redis, or Valkey."""

    connection: RedisConnection | None = None
    """Where the server is, and how it is entered."""
    index: RedisIndex | None = None
    """The index that is searched."""
    search: RedisSearch | None = None
    """How the index is asked."""
    development: RedisDevelopment | None = None
    """For trying things out."""


class MilvusAuth(SnakePart):
    """How the server is entered."""

    enabled: bool = False
    """Whether it wants to know who comes."""
    username: Text = ""
    """As whom."""
    password: Text = ""
    """Never write one here: a password belongs in a Secret. Refused, with a condition that names
    `password_secret_ref`."""
    password_secret_ref: SecretKeyRef | None = None
    """The password."""


class MilvusConnection(SnakePart):
    """Where the server is, and how it is entered."""

    host: Text = ""
    """Name or address."""
    port: Port = 19530
    """Its port."""
    database: Text = "semantic_router_cache"
    """Name of the database."""
    timeout: Count = 30
    """Seconds until a call is given up."""
    auth: MilvusAuth | None = None
    """How the server is entered."""
    tls: CacheTls | None = None
    """TLS on the connection."""


class MilvusVectorField(SnakePart):
    """The field that holds the vectors."""

    name: Text = "embedding"
    """What it is called."""
    dimension: Positive | None = None
    """Numbers in a vector; those of the embedding model when absent."""
    metric_type: Literal["IP", "L2", "COSINE"] = "IP"
    """How near two vectors are."""


class MilvusIndex(SnakePart):
    """The index that is searched."""

    type: Literal["HNSW", "IVF_FLAT", "IVF_SQ8", "IVF_PQ"] = "HNSW"
    """Which one."""
    params: GraphParams | None = None
    """Of the graph."""


class MilvusCollection(SnakePart):
    """Where the answers are kept."""

    name: Text = "semantic_cache"
    """What it is called."""
    description: Text = "Semantic cache for LLM request-response pairs"
    """For people."""
    vector_field: MilvusVectorField | None = None
    """The field that holds the vectors."""
    index: MilvusIndex | None = None
    """The index that is searched."""


class MilvusSearchParams(SnakePart):
    """Of a search in a graph."""

    ef: Positive = 64
    """Candidates that are looked at."""


class MilvusSearch(SnakePart):
    """How the collection is asked."""

    params: MilvusSearchParams | None = None
    """Of the search in the graph."""
    topk: Positive = 10
    """Answers that a search brings."""
    consistency_level: Literal["Strong", "Session", "Bounded", "Eventually"] = "Session"
    """How fresh what is found has to be."""


class MilvusPool(SnakePart):
    """Connections that are kept open."""

    max_connections: Positive = 10
    """At most."""
    max_idle_connections: Count = 5
    """At most while nothing happens."""
    acquire_timeout: Count = 30
    """Seconds until waiting for one is given up."""


class MilvusBatch(SnakePart):
    """How answers are written."""

    insert_batch_size: Positive = 100
    """Together, at most."""
    timeout: Count = 60
    """Seconds until that is given up."""


class MilvusPerformance(SnakePart):
    """How much at once."""

    connection_pool: MilvusPool | None = None
    """Connections that are kept open."""
    batch: MilvusBatch | None = None
    """How answers are written."""


class MilvusTtl(SnakePart):
    """Answers grow old."""

    enabled: bool = False
    """Whether they do."""
    timestamp_field: Text = "created_at"
    """The field that says when they were written."""
    cleanup_interval: Count = 3600
    """Seconds between two sweeps."""


class MilvusCompaction(SnakePart):
    """Tidying up the collection."""

    enabled: bool = False
    """Whether it is done."""
    interval: Count = 86400
    """Seconds between two times."""


class MilvusData(SnakePart):
    """What becomes of old answers."""

    ttl: MilvusTtl | None = None
    """Answers grow old."""
    compaction: MilvusCompaction | None = None
    """Tidying up the collection."""


class MilvusDevelopment(SnakePart):
    """For trying things out."""

    drop_collection_on_startup: bool = False
    """Whether the router begins by forgetting everything."""
    auto_create_collection: bool = True
    """Whether the collection is made where it is missing."""
    verbose_errors: bool = True
    """Whether errors say all they know."""


class MilvusCache(SnakePart):
    """Milvus."""

    connection: MilvusConnection | None = None
    """Where the server is, and how it is entered."""
    collection: MilvusCollection | None = None
    """Where the answers are kept."""
    search: MilvusSearch | None = None
    """How the collection is asked."""
    performance: MilvusPerformance | None = None
    """How much at once."""
    data_management: MilvusData | None = None
    """What becomes of old answers."""
    development: MilvusDevelopment | None = None
    """For trying things out."""


class QdrantCache(SnakePart):
    """Qdrant."""

    host: Text = ""
    """Name or address."""
    port: Port = 6334
    """Its port for gRPC."""
    api_key: Text = ""
    """Never write one here: a key belongs in a Secret. Refused, with a condition that names
    `api_key_secret_ref`."""
    api_key_secret_ref: SecretKeyRef | None = None
    """The API key."""
    use_tls: bool = False
    """Whether the connection is encrypted."""
    collection_name: Text = "semantic_cache"
    """Where the answers are kept."""
    connect_timeout: Count = 10
    """Seconds until connecting is given up."""


class HnswCache(SnakePart):
    """A graph in the router's own memory."""

    use_hnsw: bool = False
    """Whether there is one; otherwise everything is searched."""
    hnsw_m: Links = 16
    """Neighbours of a node."""
    hnsw_ef_construction: Positive = 200
    """Candidates that are looked at while it is built."""
    max_memory_entries: Count = 1000
    """Answers in it, at most, where the rest is kept elsewhere (`hybrid`)."""


class CacheSpec(SnakePart):
    """Answers that are given again to questions that mean the same."""

    enabled: bool = True
    """Whether they are."""
    backend_type: Literal["memory", "redis", "valkey", "milvus", "qdrant", "hybrid"] = "memory"
    """Where they are kept."""
    similarity_threshold: Rate = "0.8"
    """How near a question has to be to one that was answered."""
    max_entries: Count = 1000
    """Answers kept, at most."""
    ttl_seconds: Count = 3600
    """For how long."""
    eviction_policy: Literal["fifo", "lru", "lfu"] = "fifo"
    """Which one goes when there are too many."""
    embedding_model: Literal["bert", "qwen3", "gemma", "mmbert"] = "mmbert"
    """What turns questions into vectors."""
    redis: RedisCache | None = None
    """For redis."""
    valkey: RedisCache | None = None
    """For valkey."""
    milvus: MilvusCache | None = None
    """For milvus and hybrid."""
    qdrant: QdrantCache | None = None
    """For qdrant."""
    hnsw: HnswCache | None = None
    """For memory and hybrid."""
