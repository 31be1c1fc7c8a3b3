// One SMTP session of the recipient side: commands, content, and what is counted of a message (RFC 5321).
#define _GNU_SOURCE
#include "sink.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    ROOM = 32768,  // least room for a read
    KEPT = 8192,   // content beyond this is thrown away as it comes, unless its hash is checked
    LARGEST_HEADER = 65536,
    FIRST_NUMBERS = 65536,
};

static void say(Session *session, const char *line) { link_put(&session->link, line, strlen(line)); }

static void session_close(Session *session) {
    if (session->link.fd >= 0) {
        link_close(&session->link);
        sink.open--;
    }
    free(session->input);
    session->input = NULL;
    if (!session->answer_at) free(session);  // otherwise answer_delayed still has it
}

static void consume(Session *session, size_t octets) {
    session->length -= octets;
    memmove(session->input, session->input + octets, session->length);
}

// --- content ---------------------------------------------------------------------------------------------

static long message_number(const char *field, const char *end) {  // "X-Seq: <run> <number>"
    const char *space = field ? memchr(field, ' ', end - field) : NULL;
    if (!space) return NO_NUMBER;
    const char *run = sink.options.run;
    size_t length = space - field;
    if (run && (strlen(run) != length || strncmp(field, run, length))) return OTHER_RUN;
    return atol(space + 1);
}

static const char *field_value(const char *header, size_t length, const char *name) {
    const char *field = memmem(header, length, name, strlen(name));
    return field ? field + strlen(name) : NULL;
}

static void read_header(Session *session, size_t available) {
    const char *end = memmem(session->input, available, "\r\n\r\n", 4);
    size_t length = end ? (size_t)(end - session->input) + 2 : available;
    const char *header = session->input;
    session->header_seen = true;
    if (memmem(header, length, "DKIM-Signature:", 15)) sink.signed_++;
    if (memmem(header, length, "List-Help:", 10)) sink.with_list_help++;
    session->message = message_number(field_value(header, length, "\nX-Seq: "), header + length);
    const char *hash = field_value(header, length, "\nX-Hash: ");
    session->body_hash = hash ? strtoull(hash, NULL, 16) : 0;
}

// The hash of the body with its dot-stuffing undone (RFC 5321, 4.5.2).
static uint64_t hash_of_body(const char *content, size_t length) {
    const char *body = memmem(content, length, "\r\n\r\n", 4), *end = content + length;
    uint64_t hash = HASH_START;
    bool line_start = true;
    if (!body) return 0;
    for (body += 4; body < end; body++) {
        if (line_start && *body == '.') {
            line_start = false;
            continue;
        }
        hash = hash_add(hash, *body);
        line_start = *body == '\n';
    }
    return hash;
}

static void make_room_for(long number) {
    long wanted = sink.numbers ? sink.numbers : FIRST_NUMBERS;
    while (wanted <= number) wanted *= 2;
    sink.received_at = realloc(sink.received_at, wanted * sizeof *sink.received_at);
    memset(sink.received_at + sink.numbers, 0, (wanted - sink.numbers) * sizeof *sink.received_at);
    sink.numbers = wanted;
}

static void count_message(const Session *session, size_t octets) {
    uint64_t now = now_ns();
    sink.messages++;
    sink.octets += octets;
    if (!sink.first_at) sink.first_at = now;
    sink.last_at = now;
    if (session->message == OTHER_RUN) {
        sink.other_run++;
    } else if (session->message < 0) {
        sink.unnumbered++;
    } else {
        if (session->message >= sink.numbers) make_room_for(session->message);
        if (sink.received_at[session->message]) {
            sink.duplicates++;
        } else {
            sink.received_at[session->message] = now;
            sink.unique++;
        }
    }
}

static void check_hash(const Session *session, size_t length) {
    uint64_t hash = hash_of_body(session->input, length);
    if (!session->body_hash || hash == session->body_hash) return;
    sink.bad_hash++;
    if (sink.options.verbose) {
        fprintf(stderr, "message %ld: body hash %016llx instead of %016llx\n", session->message,
                (unsigned long long)hash, (unsigned long long)session->body_hash);
    }
}

static void answer_later(Session *session) {  // the delay is the same for all: in order of arrival
    session->answer_at = now_ns() + sink.options.delay_ms * 1000000ull;
    session->next_to_answer = NULL;
    if (sink.last_to_answer) {
        sink.last_to_answer->next_to_answer = session;
    } else {
        sink.first_to_answer = session;
    }
    sink.last_to_answer = session;
}

static bool header_is_complete(const Session *session) {
    return session->length > LARGEST_HEADER || memmem(session->input, session->length, "\r\n\r\n", 4);
}

static void discard_beginning(Session *session) {
    session->searched = session->length;
    if (sink.options.check_hash) return;
    if (!session->header_seen && header_is_complete(session)) read_header(session, session->length);
    if (session->header_seen && session->length > KEPT) {
        size_t octets = session->length - 4;  // the end of content may have begun: CR LF . CR
        session->discarded += octets;
        consume(session, octets);
        session->searched = session->length;
    }
}

// Where the content's last line ends (before the dot); NULL when it goes on.
static const char *end_of_content(const Session *session) {
    const char *input = session->input;
    if (!session->discarded && session->length >= 3 && !memcmp(input, ".\r\n", 3)) return input;  // empty
    size_t from = session->searched > 4 ? session->searched - 4 : 0;
    const char *end = memmem(input + from, session->length - from, "\r\n.\r\n", 5);
    return end ? end + 2 : NULL;
}

// False when the content goes on.
static bool take_content(Session *session) {
    const char *end = end_of_content(session);
    if (!end) {
        discard_beginning(session);
        return false;
    }
    size_t length = end - session->input;
    if (!session->header_seen) read_header(session, length);
    if (sink.options.check_hash) check_hash(session, length);
    count_message(session, session->discarded + length);
    consume(session, length + 3);
    session->in_content = false;
    session->recipients = 0;
    if (sink.options.delay_ms) {
        answer_later(session);
    } else {
        say(session, "250 2.0.0 Ok: queued\r\n");
    }
    return true;
}

// --- commands --------------------------------------------------------------------------------------------

static void ehlo(Session *session) {
    say(session, "250-sink.example\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n");
    if (sink.options.pipelining) say(session, "250-PIPELINING\r\n");
    if (sink.tls && !session->link.ssl) say(session, "250-STARTTLS\r\n");
    say(session, "250 HELP\r\n");
}

static void starttls(Session *session) {
    if (!sink.tls) {
        say(session, "502 5.5.1 No TLS here\r\n");
        return;
    }
    say(session, "220 2.0.0 go\r\n");
    link_flush(&session->link);
    session->length = 0;  // RFC 3207, 4.2: forget what came in clear text
    session->link.ssl = SSL_new(sink.tls);
    SSL_set_fd(session->link.ssl, session->link.fd);
    SSL_set_accept_state(session->link.ssl);
}

static bool every(long nth, long count) { return nth && count % nth == 0; }

static void rcpt(Session *session) {
    sink.recipients++;
    if (every(sink.options.every_permfail, sink.recipients)) {
        sink.permfails++;
        say(session, "550 5.1.1 No such user\r\n");
    } else if (every(sink.options.every_tempfail, sink.recipients)) {
        sink.tempfails++;
        say(session, "451 4.2.0 Try later\r\n");
    } else {
        session->recipients++;
        say(session, "250 2.1.5 Ok\r\n");
    }
}

static void data(Session *session) {
    if (!session->recipients) {
        say(session, "503 5.5.1 No recipients\r\n");
        return;
    }
    say(session, "354 End data with <CR><LF>.<CR><LF>\r\n");
    session->in_content = true;
    session->header_seen = false;
    session->searched = session->discarded = 0;
    session->message = NO_NUMBER;
}

static void noop(Session *session) { say(session, "250 2.0.0 Ok\r\n"); }

static void reset(Session *session) {
    session->recipients = 0;
    noop(session);
}

static void helo(Session *session) { say(session, "250 sink.example\r\n"); }

static void mail(Session *session) { say(session, "250 2.1.0 Ok\r\n"); }

static void quit(Session *session) {
    say(session, "221 2.0.0 Bye\r\n");
    link_flush(&session->link);
    if (session->link.ssl) SSL_shutdown(session->link.ssl);
    session_close(session);
}

typedef struct Command {
    const char *verb;
    void (*answer)(Session *);
} Command;

static const Command commands[] = {
    {"EHLO", ehlo}, {"HELO", helo},  {"STARTTLS", starttls}, {"MAIL", mail}, {"RCPT", rcpt},
    {"DATA", data}, {"RSET", reset}, {"NOOP", noop},         {"QUIT", quit}, {NULL, NULL},
};

// Answer one command line; false after QUIT, when the session is gone.
static bool take_command(Session *session, size_t length) {
    char verb[9] = "";
    memcpy(verb, session->input, length < 8 ? length : 8);
    consume(session, length);
    for (const Command *command = commands; command->verb; command++) {
        if (!strncasecmp(verb, command->verb, strlen(command->verb))) {
            command->answer(session);
            return command->answer != quit;
        }
    }
    say(session, "502 5.5.2 Error\r\n");
    return true;
}

// Take what is complete in the input; false when the session is gone.
static bool take_input(Session *session) {
    while (!session->answer_at) {
        if (session->in_content) {
            if (!take_content(session)) return true;
            continue;
        }
        const char *newline = memchr(session->input, '\n', session->length);
        if (!newline) return true;
        if (!take_command(session, newline + 1 - session->input)) return false;
    }
    return true;
}

// --- the connection --------------------------------------------------------------------------------------

void session_open(int fd) {
    Session *session = calloc(1, sizeof *session);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    link_open(&session->link, fd, sink.epoll, session);
    sink.sessions++;
    if (++sink.open > sink.most_open) sink.most_open = sink.open;
    say(session, "220 sink.example ESMTP\r\n");
    if (!link_flush(&session->link)) session_close(session);
}

static void make_room(Session *session) {
    if (session->capacity - session->length >= ROOM) return;
    session->capacity = session->capacity ? session->capacity * 2 : 2 * ROOM;
    session->input = realloc(session->input, session->capacity);
}

// Something happened on the session's connection; nothing is read while its reply is delayed.
void session_event(Session *session) {
    bool open = link_flush(&session->link);
    while (open && !session->answer_at) {
        make_room(session);
        ssize_t got = link_read(&session->link, session->input + session->length, session->capacity - session->length);
        if (got == LINK_WAIT) return;
        open = got > 0;
        if (!open) break;
        session->length += got;
        if (!take_input(session)) return;
        open = link_flush(&session->link);
    }
    if (!open) session_close(session);
}

// Give the replies whose delay is over, and go on with those sessions.
void answer_delayed(void) {
    uint64_t now = sink.first_to_answer ? now_ns() : 0;
    while (sink.first_to_answer && sink.first_to_answer->answer_at <= now) {
        Session *session = sink.first_to_answer;
        sink.first_to_answer = session->next_to_answer;
        if (!sink.first_to_answer) sink.last_to_answer = NULL;
        session->answer_at = 0;
        if (session->link.fd < 0) {
            session_close(session);
            continue;
        }
        say(session, "250 2.0.0 Ok: queued\r\n");
        if (take_input(session)) session_event(session);
    }
}
