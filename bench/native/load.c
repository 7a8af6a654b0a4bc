/* A load generator that checks every answer. One thread, keep-alive connections, epoll.
 *
 *   load HOST:PORT --seconds S [--conns N] [--rate R] [--warmup S] [--unix PATH] [--path /v1/...]
 *        [--header 'k: v']... --body FILE [--expect TEXT]... [--stream] [--body FILE ...]
 *
 * Closed loop: each connection sends its next request when the last is answered. With --rate, an
 * open loop: R requests/s on a fixed clock, and latency counts from when a request was due, so a
 * stalled proxy cannot hide its queue. Several --body take turns; --expect and --stream belong to
 * the --body before them. "########" in a body is overwritten by a counter, so that no two
 * requests are alike and no proxy can answer from memory.
 *
 * An answer is right when its framing is complete, its status is 200, its body holds every
 * --expect text and, for a stream, "[DONE]". `wrong` is an answer that is not; `lost` is a request
 * whose connection ended, or that had no answer 10 s after the end; `unsent` is what an open loop
 * could not even send. Prints one JSON line. Latencies have 1.6 % resolution.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_VARIANTS 32
#define MAX_EXPECT 8
#define GRACE_NS 10000000000LL
#define BODY_LIMIT (64 << 20)

typedef struct { const char *file, *expect[MAX_EXPECT]; int n_expect, stream; char *req, *counter; size_t len; } variant;
enum { DOWN, IDLE, BUSY };
enum { SIZE, DATA, CRLF, TRAILER };                    /* where in a chunked body */
typedef struct {
    int fd, state, head_done, status, chunked, until_close, keep, at;
    variant *v;
    char *out; size_t out_len, out_off;                /* what a full socket did not take */
    char *in; size_t in_len, in_cap;                   /* head, and what is not decoded yet */
    char *body; size_t body_len, body_cap, left;
    char line[64]; int line_len;
    long long due;
} conn;

static variant variants[MAX_VARIANTS];
static int n_variants, next_variant, n_conns = 16, ep;
static conn *conns, **idle;
static int n_idle;
static const char *unix_path, *host_port;
static long long start, deadline, interval, issued, counter, requests, warmed, last_answer, wrong, lost, errors, reconnects, max_ns;
static uint64_t histogram[64 * 64];
static char sample[400];

static long long now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }

/* ---- latencies: 64 steps per power of two ---- */

static void record(long long ns) {
    if (ns < 0) ns = 0;
    if (ns > max_ns) max_ns = ns;
    int e = ns < 64 ? 0 : 63 - __builtin_clzll(ns) - 5;
    histogram[e * 64 + (ns >> e)]++;                   /* ns >> e is below 64 */
}

static double percentile_us(double q) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < 64 * 64; i++) total += histogram[i];
    for (int i = 0; i < 64 * 64; i++)
        if ((seen += histogram[i]) && seen >= q * total) return (((i % 64) + 0.5) * (double)(1LL << (i / 64))) / 1e3;
    return 0;
}

/* ---- connections ---- */

static int dial(void) {
    int fd, one = 1;
    if (unix_path) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        strncpy(a.sun_path, unix_path, sizeof a.sun_path - 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (void *)&a, sizeof a)) { close(fd); return -1; }
    } else {
        char host[64];
        const char *colon = strrchr(host_port, ':');
        snprintf(host, sizeof host, "%.*s", (int)(colon - host_port), host_port);
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(colon + 1)) };
        inet_pton(AF_INET, host, &a.sin_addr);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (void *)&a, sizeof a)) { close(fd); return -1; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void watch(conn *c, int op, unsigned events) {
    struct epoll_event e = { .events = events, .data.ptr = c };
    epoll_ctl(ep, op, c->fd, &e);
}

static int up(conn *c) {
    c->fd = dial();
    if (c->fd < 0) { errors++; return 0; }
    c->state = IDLE; c->in_len = 0; c->out_len = c->out_off = 0;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
    idle[n_idle++] = c;
    return 1;
}

static void down(conn *c) {
    if (c->state == BUSY) lost++;
    else if (c->state == IDLE)
        for (int i = 0; i < n_idle; i++) if (idle[i] == c) { idle[i] = idle[--n_idle]; break; }
    close(c->fd);
    c->state = DOWN;
}

static void redial(conn *c) { reconnects++; down(c); up(c); }

/* ---- one request, one answer ---- */

static void fire(conn *c, long long due) {
    variant *v = &variants[next_variant];
    next_variant = (next_variant + 1) % n_variants;
    if (v->counter) { char digits[24]; snprintf(digits, sizeof digits, "%08lld", counter++ % 100000000); memcpy(v->counter, digits, 8); }
    c->v = v; c->due = due; c->state = BUSY; c->head_done = 0; c->in_len = c->body_len = 0; c->line_len = 0;
    ssize_t k = send(c->fd, v->req, v->len, MSG_NOSIGNAL);
    if (k < 0 && errno != EAGAIN) { redial(c); return; }
    if (k < 0) k = 0;
    if ((size_t)k == v->len) return;
    c->out_len = v->len - k; c->out_off = 0;
    c->out = realloc(c->out, c->out_len);
    memcpy(c->out, v->req + k, c->out_len);
    watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void writable(conn *c) {
    ssize_t k = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
    if (k > 0) c->out_off += k;
    if (c->out_off == c->out_len) watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void remember(const char *why, conn *c) {
    if (sample[0]) return;
    int n = snprintf(sample, sizeof sample, "%s, status %d: ", why, c->status);
    for (size_t i = 0; i < c->body_len && i < 240 && n < 390; i++) {
        char ch = c->body[i];
        sample[n++] = ch == '"' || ch == '\\' ? '\'' : isprint((unsigned char)ch) ? ch : ' ';
    }
    sample[n] = 0;
}

static int right(conn *c) {
    if (c->status != 200) { remember("not 200", c); return 0; }
    for (int i = 0; i < c->v->n_expect; i++)
        if (!memmem(c->body, c->body_len, c->v->expect[i], strlen(c->v->expect[i]))) { remember("text missing", c); return 0; }
    if (c->v->stream && !memmem(c->body, c->body_len, "[DONE]", 6)) { remember("no [DONE]", c); return 0; }
    return 1;
}

static void answered(conn *c, int extra) {
    long long t = now();
    requests++;
    last_answer = t;
    record(t - c->due);
    if (!right(c) || extra) { wrong++; if (extra) remember("bytes after the answer", c); }
    c->state = IDLE;
    idle[n_idle++] = c;
    if (!c->keep) redial(c);
}

static void keep_body(conn *c, const char *p, size_t n) {
    if (c->body_len + n > c->body_cap) c->body = realloc(c->body, c->body_cap = (c->body_len + n) * 2);
    memcpy(c->body + c->body_len, p, n);
    c->body_len += n;
}

/* Eats body bytes. -> bytes eaten; *done is 1 at the end of the answer, -1 on broken framing. */
static size_t eat(conn *c, const char *p, size_t n, int *done) {
    size_t i = 0;
    *done = 0;
    if (c->until_close) { keep_body(c, p, n); return n; }
    if (!c->chunked) {
        size_t k = n < c->left ? n : c->left;
        keep_body(c, p, k);
        *done = !(c->left -= k);
        return k;
    }
    while (i < n) {
        if (c->at == DATA) {
            size_t k = n - i < c->left ? n - i : c->left;
            keep_body(c, p + i, k);
            i += k;
            if (!(c->left -= k)) { c->at = CRLF; c->left = 2; }
        } else if (c->at == CRLF) {
            if (p[i++] != (c->left == 2 ? '\r' : '\n')) { *done = -1; return i; }
            if (!--c->left) c->at = SIZE;
        } else {
            char ch = p[i++];
            if (ch != '\n') { if (ch != '\r' && c->line_len < 63) c->line[c->line_len++] = ch; continue; }
            c->line[c->line_len] = 0;
            if (c->at == TRAILER) { if (!c->line_len) { *done = 1; return i; } c->line_len = 0; continue; }
            char *stop;
            c->left = strtoul(c->line, &stop, 16);
            if (stop == c->line || c->left > BODY_LIMIT) { *done = -1; return i; }
            c->line_len = 0;
            c->at = c->left ? DATA : TRAILER;
        }
    }
    return i;
}

/* -> 1 when the head is complete and understood, 0 when more is needed, -1 when it is no HTTP. */
static int head(conn *c, size_t *size) {
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) return c->in_len > 65536 ? -1 : 0;
    if (c->in_len < 12 || memcmp(c->in, "HTTP/1.", 7)) return -1;
    c->status = atoi(c->in + 9);
    c->keep = c->in[7] == '1';
    c->chunked = 0; c->until_close = 1; c->left = 0;
    for (char *l = memchr(c->in, '\n', c->in_len); l && l + 1 < end; l = memchr(l + 1, '\n', end + 2 - l - 1)) {
        if (!strncasecmp(l + 1, "content-length:", 15)) { c->left = strtoul(l + 16, NULL, 10); c->until_close = 0; }
        else if (!strncasecmp(l + 1, "transfer-encoding: chunked", 26)) { c->chunked = 1; c->until_close = 0; c->at = SIZE; }
        else if (!strncasecmp(l + 1, "connection: close", 17)) c->keep = 0;
    }
    *size = end + 4 - c->in;
    return 1;
}

static void broken(conn *c, const char *why) { c->status = 0; c->body_len = 0; keep_body(c, c->in, c->in_len < 200 ? c->in_len : 200); remember(why, c); wrong++; c->state = IDLE; idle[n_idle++] = c; redial(c); }

static void readable(conn *c) {
    char buf[65536];
    ssize_t k = recv(c->fd, buf, sizeof buf, 0);
    if (k < 0 && errno == EAGAIN) return;
    if (k <= 0) {
        if (c->state == BUSY && c->head_done && c->until_close) { c->keep = 0; answered(c, 0); }
        else redial(c);
        return;
    }
    if (c->state != BUSY) { c->status = 0; c->body_len = 0; keep_body(c, buf, k); remember("bytes nobody asked for", c); wrong++; redial(c); return; }
    const char *p = buf;
    size_t n = k, size;
    if (!c->head_done) {
        if (c->in_len + n > c->in_cap) c->in = realloc(c->in, c->in_cap = (c->in_len + n) * 2);
        memcpy(c->in + c->in_len, buf, n);
        c->in_len += n;
        int h = head(c, &size);
        if (h < 0) { broken(c, "not HTTP"); return; }
        if (!h) return;
        c->head_done = 1;
        p = c->in + size; n = c->in_len - size;
        if (!c->chunked && !c->until_close && !c->left) { answered(c, n > 0); return; }
    }
    int done = 0;
    size_t eaten = n ? eat(c, p, n, &done) : 0;
    if (done < 0) broken(c, "broken chunk framing");
    else if (done) answered(c, eaten < n);
}

/* ---- the run ---- */

static void run(double seconds, int timer) {
    struct epoll_event events[256];
    start = now();
    deadline = start + (long long)(seconds * 1e9);
    issued = 0;
    if (timer >= 0) {
        struct itimerspec t = { .it_interval = { interval / 1000000000, interval % 1000000000 }, .it_value = { start / 1000000000, start % 1000000000 } };
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
    }
    for (;;) {
        long long t = now();
        if (t < deadline) {
            for (int i = 0; i < n_conns; i++) if (conns[i].state == DOWN) up(&conns[i]);
            if (timer < 0) while (n_idle) fire(idle[--n_idle], now());
            else while (n_idle && issued * interval <= t - start) fire(idle[--n_idle], start + issued++ * interval);
        } else {
            int busy = 0;
            for (int i = 0; i < n_conns; i++) busy += conns[i].state == BUSY;
            if (!busy || t > deadline + GRACE_NS) break;
        }
        int n = epoll_wait(ep, events, 256, t < deadline ? 20 : 100);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (!c) { uint64_t ticks; if (read(timer, &ticks, 8) < 0) ticks = 0; continue; }
            if (c->state == DOWN) continue;
            if (events[i].events & EPOLLOUT) writable(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
            if (timer < 0 && c->state == IDLE && now() < deadline) {      /* answered: go on at once */
                if (n_idle && idle[n_idle - 1] == c) { n_idle--; fire(c, now()); }
            }
        }
    }
    for (int i = 0; i < n_conns; i++) if (conns[i].state == BUSY) { remember("no answer", &conns[i]); redial(&conns[i]); }
}

static void compose(variant *v, const char *path, const char *headers) {
    FILE *f = fopen(v->file, "rb");
    if (!f) { perror(v->file); exit(2); }
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    v->req = malloc(n + 2048 + strlen(headers));
    v->len = sprintf(v->req, "POST %s HTTP/1.1\r\nhost: %s\r\nuser-agent: wayside-bench\r\naccept: */*\r\ncontent-type: application/json\r\n"
        "authorization: Bearer sk-bench\r\n%scontent-length: %ld\r\n\r\n", path, host_port, headers, n);
    if (fread(v->req + v->len, 1, n, f) != (size_t)n) { perror(v->file); exit(2); }
    fclose(f);
    v->counter = memmem(v->req + v->len, n, "########", 8);
    v->len += n;
}

int main(int argc, char **argv) {
    double seconds = 3, rate = 0, warmup = 0;
    const char *path = "/v1/chat/completions";
    char headers[4096] = "";
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (int i = 1; i < argc; i++) {
#define OPT(name) (!strcmp(argv[i], name) && i + 1 < argc)
        variant *v = n_variants ? &variants[n_variants - 1] : NULL;
        if (OPT("--conns")) n_conns = atoi(argv[++i]);
        else if (OPT("--seconds")) seconds = atof(argv[++i]);
        else if (OPT("--warmup")) warmup = atof(argv[++i]);
        else if (OPT("--rate")) rate = atof(argv[++i]);
        else if (OPT("--unix")) unix_path = argv[++i];
        else if (OPT("--path")) path = argv[++i];
        else if (OPT("--header")) { strncat(headers, argv[++i], 1000); strcat(headers, "\r\n"); }
        else if (OPT("--body") && n_variants < MAX_VARIANTS) variants[n_variants++].file = argv[++i];
        else if (OPT("--expect") && v && v->n_expect < MAX_EXPECT) v->expect[v->n_expect++] = argv[++i];
        else if (!strcmp(argv[i], "--stream") && v) v->stream = 1;
        else if (argv[i][0] != '-' && !host_port) host_port = argv[i];
        else { fprintf(stderr, "load: do not understand %s\n", argv[i]); return 2; }
    }
    if (!host_port && unix_path) host_port = "localhost";
    if (!host_port || (!unix_path && !strchr(host_port, ':')) || !n_variants || n_conns < 1) { fprintf(stderr, "usage: load HOST:PORT --body FILE [options]\n"); return 2; }
    for (int i = 0; i < n_variants; i++) compose(&variants[i], path, headers);
    ep = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(n_conns, sizeof *conns);
    idle = calloc(n_conns + 1, sizeof *idle);
    for (int i = 0; i < n_conns; i++) up(&conns[i]);
    if (warmup > 0) {                                  /* a short closed loop whose figures are dropped, faults kept */
        run(warmup, -1);
        warmed = requests;
        requests = max_ns = 0;
        memset(histogram, 0, sizeof histogram);
    }
    int timer = -1;
    if (rate > 0) {
        interval = (long long)(1e9 / rate);
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
        epoll_ctl(ep, EPOLL_CTL_ADD, timer, &e);
    }
    run(seconds, timer);
    /* Up to the last answer: a slow target's first and last answers lie far from the edges. */
    double elapsed = (last_answer - start) / 1e9 > seconds ? (last_answer - start) / 1e9 : seconds;
    long long unsent = rate > 0 ? (long long)(seconds * 1e9) / interval - issued : 0;
    printf("{\"requests\":%lld,\"warmup_requests\":%lld,\"seconds\":%.3f,\"rps\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
        "\"wrong\":%lld,\"lost\":%lld,\"errors\":%lld,\"reconnects\":%lld,\"unsent\":%lld,\"sample\":\"%s\"}\n",
        requests, warmed, elapsed, requests / elapsed, percentile_us(.5), percentile_us(.99), percentile_us(.999), max_ns / 1e3,
        wrong, lost, errors, reconnects, unsent > 0 ? unsent : 0, sample);
    return 0;
}
