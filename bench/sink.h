// The recipient side's parts: what was asked for, what was counted, and one SMTP session.
#ifndef SINK_H
#define SINK_H

#include "wire.h"

typedef struct Options {
    int port, delay_ms, idle_seconds;
    long expected, every_tempfail, every_permfail;
    const char *certificate, *key, *log, *run;
    bool check_hash, pipelining, verbose;
} Options;

enum { NO_NUMBER = -1, OTHER_RUN = -2 };  // instead of a message number

typedef struct Session {
    Link link;
    bool in_content, header_seen;
    char *input;
    size_t length, capacity;
    size_t searched;   // octets of input in which the end of content was not found
    size_t discarded;  // octets of content that were counted and thrown away
    int recipients;
    long message;
    uint64_t body_hash;  // what the message says of itself
    uint64_t answer_at;  // when the delayed reply to the content is due; 0: none is
    struct Session *next_to_answer;
} Session;

typedef struct Sink {
    Options options;
    SSL_CTX *tls;  // NULL: STARTTLS is not offered
    int epoll;
    long messages, unique, duplicates, bad_hash, unnumbered, other_run, signed_, with_list_help;
    long recipients, tempfails, permfails, sessions, open, most_open;
    unsigned long long octets;
    uint64_t first_at, last_at;
    uint64_t *received_at;  // by message number; 0: not yet
    long numbers;
    Session *first_to_answer, *last_to_answer;
} Sink;

extern Sink sink;

void session_open(int fd);
void session_event(Session *session);
void answer_delayed(void);

#endif
