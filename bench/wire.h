// What the load generator and the recipient side share: one non-blocking TCP or TLS link, and small measures.
#ifndef WIRE_H
#define WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { LINK_CLOSED = -1, LINK_WAIT = 0 };  // results of link_read beside a number of octets

// Outgoing text is collected in `head`, so that replies or commands that belong together leave in one write;
// `tail` is borrowed text that follows it: a large body is sent again and again without being copied.
typedef struct Link {
    int fd;    // -1: closed
    SSL *ssl;  // NULL: clear text
    int epoll;
    void *owner;  // what epoll hands back when something happens here
    uint32_t watched;
    size_t sent, filled;
    const char *tail;
    size_t tail_left;
    char head[16384];
} Link;

void link_open(Link *link, int fd, int epoll, void *owner);
void link_watch(Link *link, bool for_writing);
bool link_put(Link *link, const char *text, size_t length);
bool link_flush(Link *link);
ssize_t link_read(Link *link, char *buffer, size_t room);
void link_close(Link *link);

#define HASH_START 14695981039346656037ull

static inline uint64_t hash_add(uint64_t hash, char octet) {  // FNV-1a: enough to notice a changed body
    return (hash ^ (unsigned char)octet) * 1099511628211ull;
}

uint64_t now_ns(void);
double cpu_seconds(void);
void raise_file_limit(void);
void catch_signals(void);
extern volatile int interrupted;

#endif
