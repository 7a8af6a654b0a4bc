/* A fake OpenAI server that is never the bottleneck: one process, one thread, many ports.
 *
 *   backend PORT [PORT...] [--models a,b,c] [--chunks 20] [--burst 5]
 *
 * POST /v1/chat/completions answers at once with a fixed completion that echoes the model asked
 * for and says whether the prompt arrived whole (it must end in "[end-of-prompt]"), or with an SSE
 * stream of N chunks, a usage chunk and [DONE]: the first chunk in a write of its own, then
 * --burst of them per write (one write per chunk costs this process more than a fast proxy, and
 * would measure the loopback interface). An unknown model is 404, as vLLM answers it, so a router
 * that forgets to choose is caught. The GET paths are those that routers probe. It never reads
 * the prompt beyond that, and never waits.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EDGE 4096          /* `model`, `stream` and the end mark are looked for this near the ends */
#define MAX_BODY (64 << 20)
#define MAX_CHUNKS 256

typedef struct { char *in; size_t len, cap; char *out; size_t out_len, out_cap, out_off; int fd, listener, closing; } conn;
typedef struct { char model[128]; int whole; char json[1024]; size_t json_len; char *sse; size_t end[MAX_CHUNKS + 3]; } answer;

static const char *models[64];
static int n_models, n_chunks = 20, burst = 5, ep;
static char models_json[8192];

static int known(const char *name) {
    for (int i = 0; i < n_models; i++) if (!strcmp(models[i], name)) return 1;
    return 0;
}

/* ---- answers, built once per (model, whole) ---- */

static answer *answer_for(const char *model, int whole) {
    static answer *cache[128];
    static int n;
    for (int i = 0; i < n; i++) if (cache[i]->whole == whole && !strcmp(cache[i]->model, model)) return cache[i];
    answer *a = n < 128 ? (cache[n++] = calloc(1, sizeof *a)) : cache[127];
    snprintf(a->model, sizeof a->model, "%s", model);
    a->whole = whole;
    const char *state = whole ? "prompt-whole" : "prompt-cut";
    char body[900];
    int n_body = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"The bench backend answers: %s.\"},"
        "\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":9,\"total_tokens\":51}}", model, state);
    a->json_len = snprintf(a->json, sizeof a->json,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", n_body, body);

    char *sse = a->sse = malloc((n_chunks + 3) * 512);
    size_t off = sprintf(sse, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    for (int i = 0; i <= n_chunks + 1; i++) {
        const char *head = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":";
        if (i < n_chunks)
            n_body = snprintf(body, sizeof body, "%s\"%s\",\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\"%s%d \"},\"finish_reason\":%s}]}\n\n",
                head, model, i ? "" : "\"role\":\"assistant\",", i ? "token" : state, i, i == n_chunks - 1 ? "\"stop\"" : "null");
        else if (i == n_chunks)
            n_body = snprintf(body, sizeof body, "%s\"%s\",\"choices\":[],\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n",
                head, model, n_chunks, 42 + n_chunks);
        else n_body = snprintf(body, sizeof body, "data: [DONE]\n\n");
        off += sprintf(sse + off, "%x\r\n%s\r\n", n_body, body);
        if (i == n_chunks + 1) off += sprintf(sse + off, "0\r\n\r\n");
        a->end[i] = off;
    }
    return a;
}

/* ---- writing ---- */

static void want(conn *c, unsigned events) {
    struct epoll_event e = { .events = events, .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void emit(conn *c, const char *p, size_t n) {
    if (c->out_off == c->out_len) {
        ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
        if (k == (ssize_t)n) return;
        if (k < 0) { if (errno != EAGAIN) { c->closing = 1; return; } k = 0; }
        p += k; n -= k;
        c->out_off = c->out_len = 0;
        want(c, EPOLLIN | EPOLLOUT);
    }
    if (c->out_len + n > c->out_cap) c->out = realloc(c->out, c->out_cap = (c->out_len + n) * 2);
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static void emit_text(conn *c, const char *status, const char *type, const char *body) {
    char buf[9000];
    emit(c, buf, snprintf(buf, sizeof buf, "HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n\r\n%s", status, type, strlen(body), body));
}

/* ---- requests ---- */

static const char *after_key(const char *body, size_t n, const char *key) {
    size_t k = strlen(key), edge = n < EDGE ? n : EDGE;
    const char *p = memmem(body, edge, key, k);
    if (!p && n > edge) p = memmem(body + n - edge, edge, key, k);
    if (!p) return NULL;
    for (p += k; p < body + n && (*p == ' ' || *p == ':'); p++) ;
    return p;
}

static void chat(conn *c, const char *body, size_t n) {
    static const char mark[] = "[end-of-prompt]";
    char model[128] = "";
    const char *m = after_key(body, n, "\"model\""), *s = after_key(body, n, "\"stream\"");
    if (m && *m == '"') {
        m++;
        const char *q = memchr(m, '"', body + n - m);
        if (q && q - m < (int)sizeof model) { memcpy(model, m, q - m); model[q - m] = 0; }
    }
    if (!known(model)) {
        char err[256];
        snprintf(err, sizeof err, "{\"error\":{\"message\":\"the model %s does not exist\",\"type\":\"NotFoundError\",\"code\":404}}", model);
        emit_text(c, "404 Not Found", "application/json", err);
        return;
    }
    size_t edge = n < EDGE ? n : EDGE;
    answer *a = answer_for(model, memmem(body + n - edge, edge, mark, sizeof mark - 1) != NULL);
    if (!s || strncmp(s, "true", 4)) { emit(c, a->json, a->json_len); return; }
    size_t from = 0;
    for (int i = 0; from < a->end[n_chunks + 1] && c->closing != 1; i += burst) {
        size_t to = a->end[i < n_chunks + 1 ? i : n_chunks + 1];
        emit(c, a->sse + from, to - from);
        from = to;
    }
}

static void get(conn *c, const char *path, size_t n) {
#define IS(p) (n == sizeof p - 1 && !memcmp(path, p, n))
    if (IS("/v1/models")) emit_text(c, "200 OK", "application/json", models_json);
    else if (IS("/health") || IS("/ping") || IS("/health_generate") || IS("/")) emit_text(c, "200 OK", "text/plain", "");
    else if (IS("/version")) emit_text(c, "200 OK", "application/json", "{\"version\":\"0.11.0\"}");
    else if (IS("/metrics"))
        emit_text(c, "200 OK", "text/plain; version=0.0.4",
            "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name=\"bench\"} 0\n"
            "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{model_name=\"bench\"} 0\n"
            "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{model_name=\"bench\"} 0.1\n");
    else if (IS("/server_info") || IS("/get_server_info") || IS("/get_model_info") || IS("/model_info")) {
        char info[512];
        snprintf(info, sizeof info, "{\"model_path\":\"%s\",\"served_model_name\":\"%s\",\"tokenizer_path\":\"%s\",\"is_generation\":true,"
            "\"tp_size\":1,\"dp_size\":1,\"load_balance_method\":\"round_robin\",\"disaggregation_mode\":\"null\",\"version\":\"0.5.0\"}", models[0], models[0], models[0]);
        emit_text(c, "200 OK", "application/json", info);
    } else emit_text(c, "404 Not Found", "application/json", "{\"detail\":\"Not Found\"}");
}

/* Decodes a chunked body in place. -> bytes consumed, 0 if more is needed; *size is the decoded length. */
static size_t unchunk(char *p, size_t n, size_t *size) {
    size_t i = 0, need = 0;
    for (size_t at = 0;;) {                            /* first pass: is it complete? */
        char *nl = memchr(p + at, '\n', n - at);
        if (!nl) return 0;
        size_t k = strtoul(p + at, NULL, 16);
        at = nl + 1 - p + k + 2;
        if (k > MAX_BODY || at > n) return 0;
        if (!k) { need = at; break; }                  /* no client here sends trailers */
    }
    for (*size = 0;;) {
        char *nl = memchr(p + i, '\n', n - i);
        size_t k = strtoul(p + i, NULL, 16);
        i = nl + 1 - p;
        if (!k) return need;
        memmove(p + *size, p + i, k);
        *size += k; i += k + 2;
    }
}

/* Answers one request at p. -> bytes consumed, 0 if more is needed. */
static size_t request(conn *c, char *p, size_t n) {
    char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - p, length = 0, used = 0;
    int chunked = 0;
    for (char *l = memchr(p, '\n', head); l && l + 1 < end; l = memchr(l + 1, '\n', end + 2 - l - 1)) {
        if (!strncasecmp(l + 1, "content-length:", 15)) length = strtoul(l + 16, NULL, 10);
        else if (!strncasecmp(l + 1, "transfer-encoding:", 18)) chunked = 1;
        else if (!strncasecmp(l + 1, "connection: close", 17)) c->closing = 2;
    }
    if (length > MAX_BODY) { c->closing = 1; return 0; }
    if (chunked) { used = unchunk(p + head, n - head, &length); if (!used) return 0; }
    else { used = length; if (n - head < length) return 0; }
    if (n > 26 && !memcmp(p, "POST /v1/chat/completions ", 26)) chat(c, p + head, length);
    else if (!memcmp(p, "GET ", 4)) get(c, p + 4, strcspn(p + 4, " ?"));
    else emit_text(c, "404 Not Found", "application/json", "{\"detail\":\"Not Found\"}");
    return head + used;
}

static void drop(conn *c) { close(c->fd); free(c->in); free(c->out); free(c); }

static void readable(conn *c) {
    for (;;) {
        if (c->cap - c->len < 16384) c->in = realloc(c->in, c->cap = c->cap ? c->cap * 2 : 32768);
        size_t room = c->cap - c->len;
        ssize_t k = recv(c->fd, c->in + c->len, room, 0);
        if (k == 0 || (k < 0 && errno != EAGAIN)) { c->closing = 1; return; }
        if (k < 0) break;
        c->len += k;
        if ((size_t)k < room) break;
    }
    size_t at = 0, k;
    while (at < c->len && c->closing != 1 && (k = request(c, c->in + at, c->len - at))) at += k;
    memmove(c->in, c->in + at, c->len -= at);
}

static void writable(conn *c) {
    ssize_t k = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
    if (k < 0) { if (errno != EAGAIN) c->closing = 1; return; }
    c->out_off += k;
    if (c->out_off == c->out_len) want(c, EPOLLIN);
}

static void accept_all(conn *l) {
    int fd, one = 1;
    while ((fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    }
}

static void listen_on(int port) {
    int one = 1;
    conn *l = calloc(1, sizeof *l);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    l->listener = 1;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l->fd, (void *)&a, sizeof a) || listen(l->fd, 1024)) { perror("backend: listen"); exit(1); }
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };
    epoll_ctl(ep, EPOLL_CTL_ADD, l->fd, &e);
}

int main(int argc, char **argv) {
    char *list = strdup("bench-model");
    ep = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--models") && i + 1 < argc) list = strdup(argv[++i]);
        else if (!strcmp(argv[i], "--chunks") && i + 1 < argc) n_chunks = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--burst") && i + 1 < argc) burst = atoi(argv[++i]);
        else listen_on(atoi(argv[i]));
    }
    if (burst < 1 || n_chunks < 1 || n_chunks > MAX_CHUNKS) { fprintf(stderr, "backend: --chunks is 1 to %d, --burst at least 1\n", MAX_CHUNKS); return 1; }
    int off = sprintf(models_json, "{\"object\":\"list\",\"data\":[");
    for (char *m = strtok(list, ","); m && n_models < 64; m = strtok(NULL, ",")) {
        off += snprintf(models_json + off, sizeof models_json - off, "%s{\"id\":\"%s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"bench\",\"max_model_len\":131072}", n_models ? "," : "", m);
        models[n_models++] = m;
    }
    snprintf(models_json + off, sizeof models_json - off, "]}");
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (c->listener) { accept_all(c); continue; }
            if (events[i].events & EPOLLOUT) writable(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
            if (c->closing == 1 || (c->closing == 2 && c->out_off == c->out_len && !c->len)) drop(c);
        }
    }
}
