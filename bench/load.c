// SMTP load generator: opens sessions (TLS, AUTH PLAIN), sends messages, prints one line of JSON.
// Closed loop by default: each session sends its next message when the last was answered. Open loop with -R:
// messages are due at a fixed rate and latency counts from then. Sends to the loopback only.
// gcc -O2 -o load load.c load_session.c wire.c -lssl -lcrypto
#define _GNU_SOURCE
#include "load.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MOST_OPENING_IN_HOLD = 20, EVENTS = 256, LINE = 72 };

Load load = {.options = {.host = "127.0.0.1",
                         .user = "shop1",
                         .password = "secret",
                         .sender = "shop@sender.example",
                         .recipient_domain = "rcpt.example",
                         .run = "r0",
                         .label = "",
                         .port = 2587,
                         .sessions = 10,
                         .per_session = 100,
                         .recipients = 1,
                         .domains = 1,
                         .max_seconds = 120,
                         .body_size = 2048,
                         .security = STARTTLS_FIRST,
                         .auth = true}};

// --- preparation -----------------------------------------------------------------------------------------

static void usage(void) {
    fprintf(stderr,
            "load [-H ip] [-p port] [-c sessions] [-m messages a session] [-n messages] [-s body octets]\n"
            "  [-t plain|starttls|tls] [-u user] [-w password] [-A no AUTH] [-P pipelining] [-r recipients]\n"
            "  [-d recipient domain] [-D number of recipient domains] [-f sender] [-R messages/s: open loop]\n"
            "  [-I seconds: open sessions, log in, hold idle] [-x run id] [-L log: number start_ns accept_ns]\n"
            "  [-8 BODY=8BITMIME] [-z resume TLS sessions] [-T most seconds] [-l label] [-v]   (loopback only)\n");
    exit(2);
}

static Security security_named(const char *name) {
    if (!strcmp(name, "plain")) return PLAIN;
    if (!strcmp(name, "starttls")) return STARTTLS_FIRST;
    if (!strcmp(name, "tls")) return IMPLICIT_TLS;
    usage();
    return PLAIN;
}

static void read_options(int count, char **arguments) {
    Options *options = &load.options;
    int option;
    while ((option = getopt(count, arguments, "H:p:c:m:n:s:t:u:w:APr:d:D:f:R:I:x:L:8zT:vl:")) > 0) {
        switch (option) {
        case 'H': options->host = optarg; break;
        case 'p': options->port = atoi(optarg); break;
        case 'c': options->sessions = atoi(optarg); break;
        case 'm': options->per_session = atoi(optarg); break;
        case 'n': options->messages = atol(optarg); break;
        case 's': options->body_size = atol(optarg); break;
        case 't': options->security = security_named(optarg); break;
        case 'u': options->user = optarg; break;
        case 'w': options->password = optarg; break;
        case 'A': options->auth = false; break;
        case 'P': options->pipelining = true; break;
        case 'r': options->recipients = atoi(optarg); break;
        case 'd': options->recipient_domain = optarg; break;
        case 'D': options->domains = atoi(optarg); break;
        case 'f': options->sender = optarg; break;
        case 'R': options->rate = atof(optarg); break;
        case 'I': options->hold_seconds = atoi(optarg); break;
        case 'x': options->run = optarg; break;
        case 'L': options->log = optarg; break;
        case '8': options->eight_bit = true; break;
        case 'z': options->resume = true; break;
        case 'T': options->max_seconds = atoi(optarg); break;
        case 'v': options->verbose = true; break;
        case 'l': options->label = optarg; break;
        default: usage();
        }
    }
}

static void check_options(void) {
    Options *options = &load.options;
    if (strncmp(options->host, "127.", 4)) {
        fprintf(stderr, "load: loopback only\n");
        exit(2);
    }
    size_t texts = strlen(options->user) + strlen(options->password);
    size_t names = strlen(options->recipient_domain) + strlen(options->sender) + strlen(options->run);
    if (options->recipients < 1 || options->recipients > 100 || options->domains < 1 || options->sessions < 1 ||
        texts > 250 || names > 100) {
        fprintf(stderr, "load: 1 to 100 recipients, at least one session and domain, names of sensible length\n");
        exit(2);
    }
    if (!options->messages) options->messages = (long)options->sessions * options->per_session;
}

static size_t add_octet(size_t at, char octet) {
    load.body[at] = octet;
    load.body_hash = hash_add(load.body_hash, octet);
    return at + 1;
}

// Lines of 72 characters, the same in every run; the first begins with a dot, which is stuffed (RFC 5321, 4.5.2).
// The hash covers the body as the recipient sees it, and travels in the X-Hash field.
static void build_body(void) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+ ";
    size_t size = load.options.body_size, at = 0;
    unsigned random = 12345;
    load.body = malloc(size + 256);
    load.body_hash = HASH_START;
    load.body[at++] = '.';
    for (const char *first = ".dot first\r\n"; *first; first++) at = add_octet(at, *first);
    while (at + 3 < size) {
        size_t width = at + LINE + 2 > size ? size - at - 2 : LINE;
        for (size_t i = 0; i < width; i++) {
            random = random * 1103515245 + 12345;
            char octet = alphabet[random >> 16 & 63];
            at = add_octet(at, octet == ' ' && i == width - 1 ? 'x' : octet);  // no space at the end of a line
        }
        at = add_octet(at, '\r');
        at = add_octet(at, '\n');
    }
    memcpy(load.body + at, ".\r\n", 3);
    load.body_length = at + 3;
}

static void build_auth_line(void) {  // RFC 4616: NUL user NUL password
    char plain[256];
    int length = 1 + sprintf(plain + 1, "%s", load.options.user) + 1;
    plain[0] = 0;
    length += sprintf(plain + length, "%s", load.options.password);
    int prefix = sprintf(load.auth_line, "AUTH PLAIN ");
    int encoded = EVP_EncodeBlock((unsigned char *)load.auth_line + prefix, (unsigned char *)plain, length);
    strcpy(load.auth_line + prefix + encoded, "\r\n");
}

static void prepare(void) {
    const Options *options = &load.options;
    build_body();
    build_auth_line();
    load.tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(load.tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(load.tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    load.started_at = calloc(options->messages + 1, sizeof(uint64_t));
    load.accepted_at = calloc(options->messages + 1, sizeof(uint64_t));
    load.login_times = calloc(options->messages + options->sessions + MOST_FAILED_SESSIONS + 1, sizeof(uint64_t));
    load.sessions = calloc(options->sessions, sizeof(Session));
    load.to_dial = calloc(options->sessions, sizeof(Session *));
    for (int i = 0; i < options->sessions; i++) {
        load.sessions[i].number = i;
        load.sessions[i].link.fd = -1;
    }
    load.epoll = epoll_create1(0);
    load.begun_at = now_ns();
}

// --- the loop --------------------------------------------------------------------------------------------

static void begin(Session *session) {
    load.active++;
    session_dial(session);
}

static void begin_sessions(void) {
    const Options *options = &load.options;
    bool on_demand = options->rate > 0 && options->per_session == 1;  // each due message dials its own session
    if (on_demand) load.started = options->sessions;
    if (load.started == options->sessions || interrupted) return;
    int opening = options->hold_seconds ? sessions_between(CONNECTING, AUTH) : 0;
    while (load.started < options->sessions && (options->hold_seconds || load.started < options->messages)) {
        if (options->hold_seconds && opening++ >= MOST_OPENING_IN_HOLD) return;
        begin(&load.sessions[load.started++]);
    }
}

static void dial_waiting(void) {
    int count = load.to_dial_count;  // those refused at once are queued again for the next round
    Session *waiting[count + 1];
    memcpy(waiting, load.to_dial, count * sizeof *waiting);
    load.to_dial_count = 0;
    for (int i = 0; i < count; i++) session_dial(waiting[i]);
}

// Open loop: give each message that is due to a session that waits, or dial one for it.
static void begin_due_messages(void) {
    for (int i = 0; i < load.started && messages_left() > 0; i++) {
        Session *session = &load.sessions[i];
        uint64_t now = now_ns();
        if (due_at(load.issued) > now) return;
        if (session->state == READY) {
            session_next_message(session);
        } else if (session->state == IDLE && load.failed_sessions < MOST_FAILED_SESSIONS) {
            if (due_at(load.issued + sessions_between(CONNECTING, READY)) > now) return;
            begin(session);
        }
    }
}

static void dismiss_waiting(void) {
    for (int i = 0; i < load.started; i++) {
        if (load.sessions[i].state == READY) session_quit(&load.sessions[i]);
    }
}

// Idle sessions: 0 until all are logged in (or failed), then the time at which to let go of them.
static uint64_t hold_end(void) {
    static uint64_t end;
    const Options *options = &load.options;
    if (end || load.started < options->sessions || sessions_between(CONNECTING, QUIT)) return end;
    printf("HOLDING %d of %d connections after %.2f s\n", sessions_between(HOLDING, HOLDING), options->sessions,
           (now_ns() - load.begun_at) / 1e9);
    fflush(stdout);
    return end = now_ns() + options->hold_seconds * 1000000000ull;
}

static bool finished(void) {
    const Options *options = &load.options;
    uint64_t now = now_ns();
    if (now - load.begun_at > (options->max_seconds + options->hold_seconds) * 1000000000ull) {
        fprintf(stderr, "load: time limit\n");
        return true;
    }
    if (options->hold_seconds) {
        uint64_t end = hold_end();
        return interrupted || (end && now > end);
    }
    if (interrupted && options->rate > 0) return true;
    if (load.active > 0) return false;
    bool more_due = options->rate > 0 && messages_left() > 0;
    return !more_due || interrupted || load.failed_sessions >= MOST_FAILED_SESSIONS;
}

static int wait_ms(void) {
    if (load.to_dial_count) return 0;
    if (load.options.rate == 0 || messages_left() <= 0) return 100;
    int64_t wait = (int64_t)(due_at(load.issued) - now_ns());
    if (wait <= 0) return 1;
    return wait > 99000000 ? 100 : (int)(wait / 1000000) + 1;
}

static void run(void) {
    struct epoll_event events[EVENTS];
    for (;;) {
        begin_sessions();
        dial_waiting();
        if (load.options.rate > 0) {
            if (messages_left() > 0) begin_due_messages();
            if (messages_left() <= 0) dismiss_waiting();
        }
        if (finished()) return;
        int count = epoll_wait(load.epoll, events, EVENTS, wait_ms());
        for (int i = 0; i < count; i++) {
            Session *session = events[i].data.ptr;
            if (session->link.fd >= 0) session_event(session);
        }
    }
}

// --- the report ------------------------------------------------------------------------------------------

static void write_log(void) {
    FILE *file = fopen(load.options.log, "w");
    if (!file) {
        perror(load.options.log);
        return;
    }
    for (long i = 0; i < load.issued; i++) {
        fprintf(file, "%ld %llu %llu\n", i, (unsigned long long)load.started_at[i],
                (unsigned long long)load.accepted_at[i]);
    }
    fclose(file);
}

static int compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static double percentile_ms(const uint64_t *sorted, long count, double part) {
    return count ? sorted[(long)(part * (count - 1) + .5)] / 1e6 : 0;
}

static void report(void) {
    const Options *options = &load.options;
    uint64_t end = load.last_accepted_at > load.begun_at ? load.last_accepted_at : now_ns();
    double seconds = (end - load.begun_at) / 1e9;
    uint64_t *latency = calloc(load.accepted + 1, sizeof *latency), *login = load.login_times;
    long count = 0;
    for (long i = 0; i < load.issued; i++) {
        if (load.accepted_at[i]) latency[count++] = load.accepted_at[i] - load.started_at[i];
    }
    qsort(latency, count, sizeof *latency, compare);
    qsort(login, load.login_count, sizeof *login, compare);
    printf("{\"label\":\"%s\",\"conns\":%d,\"per_conn\":%d,\"size\":%zu,\"rcpts\":%d,\"accepted\":%ld,\"failed\":%ld,"
           "\"connfail\":%ld,\"connections\":%ld,\"secs\":%.3f,\"msgs_s\":%.1f,\"MB_s\":%.2f,\"conn_s\":%.1f,",
           options->label, options->sessions, options->per_session, options->body_size, options->recipients,
           load.accepted, load.failed, load.failed_sessions, load.dialled, seconds, load.accepted / seconds,
           load.octets / 1e6 / seconds, load.login_count / seconds);
    printf("\"cpu\":%.3f,\"lat_p50\":%.2f,\"lat_p90\":%.2f,\"lat_p99\":%.2f,\"lat_max\":%.2f,\"conn_p50\":%.2f,"
           "\"conn_p90\":%.2f,\"conn_p99\":%.2f}\n",
           cpu_seconds(), percentile_ms(latency, count, .5), percentile_ms(latency, count, .9),
           percentile_ms(latency, count, .99), percentile_ms(latency, count, 1),
           percentile_ms(login, load.login_count, .5), percentile_ms(login, load.login_count, .9),
           percentile_ms(login, load.login_count, .99));
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    check_options();
    catch_signals();
    raise_file_limit();
    prepare();
    run();
    if (load.options.log && !load.options.hold_seconds) write_log();
    report();
    return !load.options.hold_seconds && load.accepted != load.options.messages;
}
