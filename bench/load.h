// The load generator's parts: what was asked for, what was counted, and one SMTP session.
#ifndef LOAD_H
#define LOAD_H

#include "wire.h"

typedef enum Security { PLAIN, STARTTLS_FIRST, IMPLICIT_TLS } Security;

typedef struct Options {
    const char *host, *user, *password, *sender, *recipient_domain, *log, *run, *label;
    int port, sessions, per_session, recipients, domains, hold_seconds, max_seconds;
    long messages;
    size_t body_size;
    double rate;  // messages a second; 0: as fast as they are answered
    Security security;
    bool auth, pipelining, eight_bit, resume, verbose;
} Options;

// The order matters: everything before READY is opening, MAIL to CONTENT is a mail transaction.
typedef enum State {
    IDLE,
    REDIAL,
    CONNECTING,
    HANDSHAKE,
    GREETING,
    EHLO,
    STARTTLS,
    AUTH,
    READY,
    MAIL,
    RCPT,
    DATA,
    CONTENT,
    QUIT,
    HOLDING
} State;

typedef struct Session {
    Link link;
    State state;
    int number;
    int messages_done;
    int recipients_answered;
    long message;  // number of the message under way
    uint64_t dialled_at;
    size_t reply_length;
    char reply[4096];
} Session;

typedef struct Load {
    Options options;
    Session *sessions;
    int epoll;
    SSL_CTX *tls;
    SSL_SESSION *resumable;
    char auth_line[512];
    char *body;  // dot-stuffed, with the final dot
    size_t body_length;
    uint64_t body_hash;  // of the body without dot-stuffing

    Session **to_dial;  // sessions that shall be opened (again) once the events at hand are done
    int to_dial_count;
    int active;   // sessions that are open or about to be dialled
    int started;  // sessions that were dialled at least once

    long issued, accepted, failed, failed_sessions, dialled;
    unsigned long long octets;
    uint64_t begun_at, last_accepted_at;
    uint64_t *started_at, *accepted_at;  // by message number; 0: not yet
    uint64_t *login_times;               // from dialling to being logged in
    long login_count;
} Load;

extern Load load;

enum { MOST_FAILED_SESSIONS = 1000 };  // then no session is dialled again: the server is down

long messages_left(void);
int sessions_between(State first, State last);
uint64_t due_at(long message);
void session_dial(Session *session);
void session_event(Session *session);
void session_next_message(Session *session);
void session_quit(Session *session);

#endif
