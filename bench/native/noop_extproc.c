/* The ceiling for the Envoy path: an ext_proc server that reads nothing and changes nothing.
 *
 *   noop_extproc unix:PATH | PORT
 *
 * It knows just enough of HTTP/2, gRPC and protobuf to answer each ProcessingRequest of Envoy's
 * with the empty ProcessingResponse of the same phase: for one peer, with no flow control of its
 * own (replies are a dozen bytes, Envoy's window is 256 MB and refilled), no HPACK (no header
 * matters) and no checks. What Envoy reaches with this is all it can reach in BUFFERED mode.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { F_DATA, F_HEADERS, F_PRIORITY, F_RST, F_SETTINGS, F_PUSH, F_PING, F_GOAWAY, F_WINDOW, F_CONT };
#define SLOTS 65536                                    /* streams in flight never share a slot: ids are odd and in order */
#define IN_CAP (2 << 20)

typedef struct { uint32_t id, left; uint8_t prefix[5], n_prefix, tag, headers_sent; } stream;
typedef struct { int fd, listener, greeted; size_t len, out_len, out_cap; unsigned got; uint8_t *in, *out; stream *streams; } conn;

static int ep;

static void put(conn *c, const void *p, size_t n) {
    if (c->out_len + n > c->out_cap) c->out = realloc(c->out, c->out_cap = (c->out_len + n) * 2);
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static void frame(conn *c, int type, int flags, uint32_t id, const void *p, uint32_t n) {
    uint8_t h[9] = { n >> 16, n >> 8, n, type, flags, id >> 24, id >> 16, id >> 8, id };
    put(c, h, 9);
    put(c, p, n);
}

static const char RESPONSE[] = "\x88\x00\x0c" "content-type" "\x10" "application/grpc";   /* :status 200 */
static const char TRAILERS[] = "\x00\x0b" "grpc-status" "\x01" "0";

static void reply(conn *c, stream *s) {
    /* field of the phase in ProcessingRequest -> the same phase's field in ProcessingResponse */
    static const uint8_t field[128] = { [0x12] = 0x0a, [0x1a] = 0x12, [0x22] = 0x1a, [0x2a] = 0x22, [0x32] = 0x2a, [0x3a] = 0x32 };
    uint8_t m[7] = { 0, 0, 0, 0, 2, field[s->tag & 127], 0 };
    if (!m[5]) return;
    if (!s->headers_sent) { frame(c, F_HEADERS, 4, s->id, RESPONSE, sizeof RESPONSE - 1); s->headers_sent = 1; }
    frame(c, F_DATA, 0, s->id, m, sizeof m);
}

static void finish(conn *c, stream *s) {
    char both[128];
    size_t n = 0;
    if (!s->headers_sent) { memcpy(both, RESPONSE, n = sizeof RESPONSE - 1); }
    memcpy(both + n, TRAILERS, sizeof TRAILERS - 1);
    frame(c, F_HEADERS, 5, s->id, both, n + sizeof TRAILERS - 1);
    s->id = 0;
}

/* Follows the gRPC messages of one stream; only their length and first byte are looked at. */
static void data(conn *c, stream *s, const uint8_t *p, size_t n) {
    while (n) {
        if (s->n_prefix < 5) {
            s->prefix[s->n_prefix++] = *p++; n--;
            if (s->n_prefix < 5) continue;
            s->left = (uint32_t)s->prefix[1] << 24 | s->prefix[2] << 16 | s->prefix[3] << 8 | s->prefix[4];
            s->tag = 0;
            if (!s->left) s->n_prefix = 0;
            continue;
        }
        if (!s->tag) s->tag = *p;
        size_t k = n < s->left ? n : s->left;
        p += k; n -= k;
        if (!(s->left -= k)) { s->n_prefix = 0; reply(c, s); }
    }
}

static void one_frame(conn *c, int type, int flags, uint32_t id, const uint8_t *p, uint32_t n) {
    stream *s = &c->streams[(id >> 1) % SLOTS];
    if (type == F_DATA) {
        c->got += n;
        if (flags & 8) { n -= p[0] + 1; p++; }
        if (s->id != id) return;
        data(c, s, p, n);
        if (flags & 1) finish(c, s);
    } else if (type == F_HEADERS) {
        memset(s, 0, sizeof *s);
        s->id = id;
        if (flags & 1) finish(c, s);
    } else if (type == F_RST) { if (s->id == id) s->id = 0; }
    else if (type == F_SETTINGS && !(flags & 1)) frame(c, F_SETTINGS, 1, 0, "", 0);
    else if (type == F_PING && !(flags & 1)) frame(c, F_PING, 1, 0, p, n);
}

/* -> 0 when the connection is over */
static int readable(conn *c) {
    ssize_t k = recv(c->fd, c->in + c->len, IN_CAP - c->len, 0);
    if (k < 0 && errno == EAGAIN) return 1;
    if (k <= 0) return 0;
    c->len += k;
    size_t at = 0;
    if (!c->greeted) { if (c->len < 24) return 1; at = 24; c->greeted = 1; }
    while (c->len - at >= 9) {
        uint8_t *h = c->in + at;
        uint32_t n = h[0] << 16 | h[1] << 8 | h[2];
        if (c->len - at < 9 + n) break;
        one_frame(c, h[3], h[4], (uint32_t)(h[5] & 127) << 24 | h[6] << 16 | h[7] << 8 | h[8], h + 9, n);
        at += 9 + n;
    }
    memmove(c->in, c->in + at, c->len -= at);
    if (c->got > 1 << 20) { uint8_t w[4] = { c->got >> 24, c->got >> 16, c->got >> 8, c->got }; frame(c, F_WINDOW, 0, 0, w, 4); c->got = 0; }
    for (size_t off = 0; off < c->out_len;) {          /* blocks when Envoy is slow to read; it never is */
        ssize_t w = send(c->fd, c->out + off, c->out_len - off, MSG_NOSIGNAL);
        if (w < 0 && errno == EAGAIN) { usleep(50); continue; }
        if (w < 0) return 0;
        off += w;
    }
    c->out_len = 0;
    return 1;
}

static void accept_one(conn *l) {
    /* header table 0, stream window 16 MB, frames up to 1 MB; connection window 2^31 - 1 */
    static const uint8_t settings[] = { 0, 1, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 5, 0, 0x10, 0, 0 }, window[] = { 0x7f, 0xff, 0, 0 };
    int one = 1, fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->in = malloc(IN_CAP);
    c->streams = calloc(SLOTS, sizeof *c->streams);
    frame(c, F_SETTINGS, 0, 0, settings, sizeof settings);
    frame(c, F_WINDOW, 0, 0, window, 4);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: noop_extproc unix:PATH | PORT\n"); return 2; }
    conn l = { .listener = 1 };
    int bound, one = 1;
    signal(SIGPIPE, SIG_IGN);
    if (!strncmp(argv[1], "unix:", 5)) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        strncpy(a.sun_path, argv[1] + 5, sizeof a.sun_path - 1);
        unlink(a.sun_path);
        l.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        bound = bind(l.fd, (void *)&a, sizeof a);
    } else {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        l.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        setsockopt(l.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        bound = bind(l.fd, (void *)&a, sizeof a);
    }
    if (bound || listen(l.fd, 128)) { perror("noop_extproc: listen"); return 1; }
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64], e = { .events = EPOLLIN, .data.ptr = &l };
    epoll_ctl(ep, EPOLL_CTL_ADD, l.fd, &e);
    for (;;) {
        int n = epoll_wait(ep, events, 64, -1);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (c->listener) accept_one(c);
            else if (!readable(c)) { close(c->fd); free(c->in); free(c->out); free(c->streams); free(c); }
        }
    }
}
