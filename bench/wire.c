// One non-blocking TCP or TLS link and small measures; see wire.h.
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 1 << 20 };

volatile int interrupted;

void link_open(Link *link, int fd, int epoll, void *owner) {
    link->fd = fd;
    link->ssl = NULL;
    link->epoll = epoll;
    link->owner = owner;
    link->watched = 0;
    link->sent = link->filled = link->tail_left = 0;
}

// Ask epoll for input, and for room to write if wanted; costs a system call only when that changes.
void link_watch(Link *link, bool for_writing) {
    uint32_t events = EPOLLIN | (for_writing ? EPOLLOUT : 0);
    if (link->watched == events) return;
    struct epoll_event event = {.events = events, .data.ptr = link->owner};
    epoll_ctl(link->epoll, link->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, link->fd, &event);
    link->watched = events;
}

// Collect text to be sent by the next flush; false if there is no room.
bool link_put(Link *link, const char *text, size_t length) {
    if (link->filled + length > sizeof link->head) return false;
    memcpy(link->head + link->filled, text, length);
    link->filled += length;
    return true;
}

static ssize_t write_some(Link *link, const char *text, size_t length) {
    if (length > MOST_AT_ONCE) length = MOST_AT_ONCE;
    if (!link->ssl) {
        ssize_t sent = send(link->fd, text, length, MSG_NOSIGNAL);
        return sent < 0 && errno == EAGAIN ? LINK_WAIT : sent;
    }
    ERR_clear_error();
    int sent = SSL_write(link->ssl, text, (int)length);
    if (sent > 0) return sent;
    int error = SSL_get_error(link->ssl, sent);
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? LINK_WAIT : LINK_CLOSED;
}

// Send what is waiting, as far as the peer takes it; the rest follows when epoll reports room.
// False: the link is broken.
bool link_flush(Link *link) {
    while (link->sent < link->filled || link->tail_left) {
        bool in_head = link->sent < link->filled;
        ssize_t sent = in_head ? write_some(link, link->head + link->sent, link->filled - link->sent)
                               : write_some(link, link->tail, link->tail_left);
        if (sent < 0) return false;
        if (sent == LINK_WAIT) {
            link_watch(link, true);
            return true;
        }
        if (in_head) {
            link->sent += sent;
        } else {
            link->tail += sent;
            link->tail_left -= sent;
        }
    }
    link->sent = link->filled = 0;
    link_watch(link, false);
    return true;
}

// Octets read (> 0), LINK_WAIT when there is nothing yet, LINK_CLOSED at the end or on an error.
ssize_t link_read(Link *link, char *buffer, size_t room) {
    if (!link->ssl) {
        ssize_t got = recv(link->fd, buffer, room, 0);
        if (got < 0 && errno == EAGAIN) return LINK_WAIT;
        return got > 0 ? got : LINK_CLOSED;
    }
    ERR_clear_error();
    int got = SSL_read(link->ssl, buffer, (int)room);
    if (got > 0) return got;
    switch (SSL_get_error(link->ssl, got)) {
    case SSL_ERROR_WANT_READ: return LINK_WAIT;
    case SSL_ERROR_WANT_WRITE: link_watch(link, true); return LINK_WAIT;
    default: return LINK_CLOSED;
    }
}

void link_close(Link *link) {
    if (link->fd < 0) return;
    SSL_free(link->ssl);
    close(link->fd);
    link->ssl = NULL;
    link->fd = -1;
}

// Wall clock, because the times of the two tools are compared with each other.
uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void raise_file_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

void catch_signals(void) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
}
