// One SMTP session of the load generator: the states it goes through and what it says in each (RFC 5321).
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { COPIED_BODY = 8192 };  // smaller bodies are copied behind the header section, to leave in one write

static const char *const state_names[] = {"idle",  "redial", "connect", "TLS",  "greeting", "EHLO", "STARTTLS", "AUTH",
                                          "ready", "MAIL",   "RCPT",    "DATA", "content",  "QUIT", "holding"};

static const int expected_code[] = {
    [GREETING] = 220, [EHLO] = 250, [STARTTLS] = 220, [AUTH] = 235,
    [MAIL] = 250,     [RCPT] = 250, [DATA] = 354,     [CONTENT] = 250,
};

long messages_left(void) { return load.options.messages - load.issued; }

int sessions_between(State first, State last) {
    int count = 0;
    for (int i = 0; i < load.started; i++) {
        count += load.sessions[i].state >= first && load.sessions[i].state <= last;
    }
    return count;
}

// When a message of the open loop is to be sent.
uint64_t due_at(long message) { return load.begun_at + (uint64_t)(message / load.options.rate * 1e9); }

// --- opening and closing ---------------------------------------------------------------------------------

static void hang_up(Session *session) {
    SSL *ssl = session->link.ssl;
    if (ssl) {
        if (load.options.resume && !load.resumable) load.resumable = SSL_get1_session(ssl);
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // keeps it resumable
    }
    link_close(&session->link);
    session->state = IDLE;
}

// The main loop dials, not we: otherwise a refused connection would call itself again and again.
// No more sessions are opened than there are messages for them.
static void dial_again_or_rest(Session *session, bool again) {
    if (again && messages_left() > sessions_between(REDIAL, READY) && !interrupted) {
        session->state = REDIAL;
        load.to_dial[load.to_dial_count++] = session;
    } else {
        load.active--;
    }
}

static void session_failed(Session *session, const char *why) {
    const Options *options = &load.options;
    session->reply[session->reply_length] = 0;
    if (options->verbose || load.failed_sessions < 3) {
        fprintf(stderr, "session %d at %s: %s: %.200s\n", session->number, state_names[session->state], why,
                session->reply);
    }
    load.failed_sessions++;
    if (session->state >= MAIL && session->state <= CONTENT) load.failed++;
    hang_up(session);
    dial_again_or_rest(session, load.failed_sessions < MOST_FAILED_SESSIONS && !options->hold_seconds);
}

static void session_ended(Session *session) {
    hang_up(session);
    dial_again_or_rest(session, load.options.rate == 0);  // with a rate, the next due message dials
}

void session_dial(Session *session) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(load.options.port)};
    inet_pton(AF_INET, load.options.host, &address.sin_addr);
    link_open(&session->link, fd, load.epoll, session);
    session->state = CONNECTING;
    session->reply_length = 0;
    session->messages_done = 0;
    session->dialled_at = now_ns();
    load.dialled++;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        session_failed(session, strerror(errno));
    } else {
        link_watch(&session->link, true);
    }
}

// --- what we say -----------------------------------------------------------------------------------------

static void flush(Session *session) {
    if (!link_flush(&session->link)) session_failed(session, "connection broken");
}

static void say(Session *session, State next, const char *line) {
    session->state = next;
    link_put(&session->link, line, strlen(line));
    flush(session);
}

void session_quit(Session *session) { say(session, QUIT, "QUIT\r\n"); }

static long domain_of(long message) { return message % load.options.domains; }

static int write_rcpt(const Session *session, int recipient, char *line) {
    return sprintf(line, "RCPT TO:<u%ld.%d@d%ld.%s>\r\n", session->message, recipient, domain_of(session->message),
                   load.options.recipient_domain);
}

static void say_mail(Session *session) {
    const Options *options = &load.options;
    char lines[sizeof session->link.head];
    int length = sprintf(lines, "MAIL FROM:<%s> SIZE=%zu%s\r\n", options->sender, load.body_length + 500,
                         options->eight_bit ? " BODY=8BITMIME" : "");
    if (options->pipelining) {  // RFC 2920: MAIL, all RCPT and DATA may leave together
        for (int i = 0; i < options->recipients; i++) length += write_rcpt(session, i, lines + length);
        strcpy(lines + length, "DATA\r\n");
    }
    say(session, MAIL, lines);
}

static void say_rcpt(Session *session, int recipient) {
    char line[600];
    write_rcpt(session, recipient, line);
    say(session, RCPT, line);
}

static void say_content(Session *session) {
    const Options *options = &load.options;
    char header[2048], date[64];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&now, &utc));
    int length = sprintf(header,
                         "From: Shop <%s>\r\nTo: <u%ld.0@d%ld.%s>\r\nSubject: Order confirmation %ld\r\nDate: %s\r\n"
                         "Message-ID: <%s.%ld@load.example>\r\nX-Seq: %s %ld\r\nX-Hash: %016llx\r\n"
                         "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
                         options->sender, session->message, domain_of(session->message), options->recipient_domain,
                         session->message, date, options->run, session->message, options->run, session->message,
                         (unsigned long long)load.body_hash);
    session->state = CONTENT;
    load.octets += length + load.body_length;
    link_put(&session->link, header, length);
    if (load.body_length >= COPIED_BODY || !link_put(&session->link, load.body, load.body_length)) {
        session->link.tail = load.body;
        session->link.tail_left = load.body_length;
    }
    flush(session);
}

// Begin a message; or wait for it to be due; or quit when this session or the whole load has had its share.
void session_next_message(Session *session) {
    uint64_t now = now_ns(), start = now;
    if (session->messages_done >= load.options.per_session || messages_left() <= 0 || interrupted) {
        session_quit(session);
        return;
    }
    if (load.options.rate > 0) {
        start = due_at(load.issued);  // a late start counts as latency
        if (start > now) {
            session->state = READY;
            return;
        }
    }
    session->message = load.issued++;
    load.started_at[session->message] = start;
    say_mail(session);
}

static void logged_in(Session *session) {
    load.login_times[load.login_count++] = now_ns() - session->dialled_at;
    if (load.options.hold_seconds) {
        session->state = HOLDING;
    } else {
        session_next_message(session);
    }
}

// --- what the server answers -----------------------------------------------------------------------------

static void continue_handshake(Session *session) {
    ERR_clear_error();
    int done = SSL_do_handshake(session->link.ssl);
    if (done == 1) {
        if (load.options.security == IMPLICIT_TLS) {
            session->state = GREETING;
        } else {
            say(session, EHLO, "EHLO load.example\r\n");  // RFC 3207, 4.2: begin anew
        }
        return;
    }
    int error = SSL_get_error(session->link.ssl, done);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        link_watch(&session->link, error == SSL_ERROR_WANT_WRITE);
    } else {
        ERR_print_errors_fp(stderr);
        session_failed(session, "handshake failed");
    }
}

static void start_tls(Session *session) {
    session->reply_length = 0;
    session->link.ssl = SSL_new(load.tls);
    SSL_set_fd(session->link.ssl, session->link.fd);
    SSL_set_connect_state(session->link.ssl);
    if (load.resumable) SSL_set_session(session->link.ssl, load.resumable);
    session->state = HANDSHAKE;
    continue_handshake(session);
}

static void after_ehlo(Session *session) {
    if (load.options.security == STARTTLS_FIRST && !session->link.ssl) {
        say(session, STARTTLS, "STARTTLS\r\n");
    } else if (load.options.auth) {
        say(session, AUTH, load.auth_line);
    } else {
        logged_in(session);
    }
}

static void after_mail(Session *session) {
    session->recipients_answered = 0;
    if (load.options.pipelining) {
        session->state = RCPT;
    } else {
        say_rcpt(session, 0);
    }
}

static void after_rcpt(Session *session) {
    bool more = ++session->recipients_answered < load.options.recipients;
    if (load.options.pipelining) {
        session->state = more ? RCPT : DATA;
    } else if (more) {
        say_rcpt(session, session->recipients_answered);
    } else {
        say(session, DATA, "DATA\r\n");
    }
}

static void after_content(Session *session) {
    load.last_accepted_at = load.accepted_at[session->message] = now_ns();
    load.accepted++;
    session->messages_done++;
    session_next_message(session);
}

static void take_reply(Session *session, int code) {
    if (session->state == QUIT) {
        session_ended(session);
        return;
    }
    bool right = session->state == RCPT ? code / 10 == 25 : code == expected_code[session->state];  // 251: forwarded
    if (!right) {
        session_failed(session, "unwanted reply");
        return;
    }
    switch (session->state) {
    case GREETING: say(session, EHLO, "EHLO load.example\r\n"); break;
    case EHLO: after_ehlo(session); break;
    case STARTTLS: start_tls(session); break;
    case AUTH: logged_in(session); break;
    case MAIL: after_mail(session); break;
    case RCPT: after_rcpt(session); break;
    case DATA: say_content(session); break;
    case CONTENT: after_content(session); break;
    default: session_failed(session, "reply to nothing");
    }
}

// Take the complete replies out of the buffer; false once the session was closed or began TLS.
static bool take_replies(Session *session) {
    char *line = session->reply, *end = session->reply + session->reply_length, *newline;
    while ((newline = memchr(line, '\n', end - line))) {
        bool last = newline - line >= 3 && line[3] == ' ';  // RFC 5321, 4.2.1: "250-" goes on, "250 " ends
        if (last) take_reply(session, atoi(line));
        if (session->link.fd < 0 || session->state == HANDSHAKE) return false;
        line = newline + 1;
    }
    session->reply_length = end - line;
    memmove(session->reply, line, session->reply_length);
    return true;
}

static void read_replies(Session *session) {
    for (;;) {
        size_t room = sizeof session->reply - 1 - session->reply_length;
        ssize_t got = link_read(&session->link, session->reply + session->reply_length, room);
        if (got == LINK_WAIT) return;
        if (got == LINK_CLOSED) {
            if (session->state == QUIT) {
                session_ended(session);
            } else {
                session_failed(session, "closed by the server");
            }
            return;
        }
        session->reply_length += got;
        if (!take_replies(session)) return;
    }
}

static void connected(Session *session) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(session->link.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        session_failed(session, strerror(error));
    } else if (load.options.security == IMPLICIT_TLS) {
        start_tls(session);
    } else {
        session->state = GREETING;
        link_watch(&session->link, false);
    }
}

// Something happened on the session's connection.
void session_event(Session *session) {
    if (session->state == CONNECTING) {
        connected(session);
        return;
    }
    if (session->state == HANDSHAKE) continue_handshake(session);
    if (session->link.fd < 0 || session->state == HANDSHAKE) return;
    flush(session);
    if (session->link.fd >= 0) read_replies(session);
}
