// Recipient side of the benchmarks: an SMTP server on the loopback that takes every message, notes which numbers of
// the load generator came (lost, twice), checks bodies by their hash, and prints one line of JSON at its end.
// gcc -O2 -o sink sink.c sink_session.c wire.c -lssl -lcrypto
#define _GNU_SOURCE
#include "sink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 4096, TICK_MS = 200, LINGER_MS = 300 };

Sink sink = {.options = {.port = 2525, .pipelining = true}};

static void usage(void) {
    fprintf(stderr,
            "sink [-p port] [-e exit after n different messages] [-T exit after that many idle seconds]\n"
            "  [-k check the hash of bodies] [-x run id] [-L log: number receive_ns] [-d ms before the last reply]\n"
            "  [-4 n: 451 to every n-th RCPT] [-5 n: 550 to every n-th RCPT] [-C certificate -K key: STARTTLS]\n"
            "  [-P no PIPELINING] [-v]\n");
    exit(2);
}

static void read_options(int count, char **arguments) {
    Options *options = &sink.options;
    int option;
    while ((option = getopt(count, arguments, "p:d:ke:T:C:K:L:x:4:5:vP")) > 0) {
        switch (option) {
        case 'p': options->port = atoi(optarg); break;
        case 'd': options->delay_ms = atoi(optarg); break;
        case 'k': options->check_hash = true; break;
        case 'e': options->expected = atol(optarg); break;
        case 'T': options->idle_seconds = atoi(optarg); break;
        case 'C': options->certificate = optarg; break;
        case 'K': options->key = optarg; break;
        case 'L': options->log = optarg; break;
        case 'x': options->run = optarg; break;
        case '4': options->every_tempfail = atol(optarg); break;
        case '5': options->every_permfail = atol(optarg); break;
        case 'v': options->verbose = true; break;
        case 'P': options->pipelining = false; break;
        default: usage();
        }
    }
}

static void prepare_tls(void) {
    const Options *options = &sink.options;
    if (!options->certificate) return;
    const char *key = options->key ? options->key : options->certificate;
    sink.tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(sink.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(sink.tls, options->certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(sink.tls, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(2);
    }
}

static int listen_on_loopback(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(sink.options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG)) {
        perror("sink");
        exit(2);
    }
    sink.epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};  // no session: the listener itself
    epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) session_open(fd);
}

static int wait_ms(void) {
    if (!sink.first_to_answer) return TICK_MS;
    int64_t wait = (int64_t)(sink.first_to_answer->answer_at - now_ns());
    return wait <= 0 ? 0 : (int)(wait / 1000000) + 1;
}

static bool finished(uint64_t begun_at) {
    const Options *options = &sink.options;
    uint64_t now = now_ns(), last = sink.last_at ? sink.last_at : begun_at;
    if (interrupted) return true;
    if (options->expected && sink.unique >= options->expected) {  // linger: a duplicate may follow
        if (!sink.open || now - sink.last_at > LINGER_MS * 1000000ull) return true;
    }
    return options->idle_seconds && now - last > options->idle_seconds * 1000000000ull;
}

static void tell_progress(void) {
    static uint64_t told_at;
    static long told;
    uint64_t now = now_ns();
    if (!sink.options.verbose || now - told_at < 1000000000ull) return;
    fprintf(stderr, "%ld messages, %ld since, %ld sessions\n", sink.messages, sink.messages - told, sink.open);
    told = sink.messages;
    told_at = now;
}

static void run(int listener) {
    struct epoll_event events[EVENTS];
    uint64_t begun_at = now_ns();
    while (!finished(begun_at)) {
        int count = epoll_wait(sink.epoll, events, EVENTS, wait_ms());
        for (int i = 0; i < count; i++) {
            Session *session = events[i].data.ptr;
            if (session) {
                session_event(session);
            } else {
                accept_all(listener);
            }
        }
        answer_delayed();
        tell_progress();
    }
}

static void write_log(void) {
    FILE *file = fopen(sink.options.log, "w");
    if (!file) {
        perror(sink.options.log);
        return;
    }
    for (long i = 0; i < sink.numbers; i++) {
        if (sink.received_at[i]) fprintf(file, "%ld %llu\n", i, (unsigned long long)sink.received_at[i]);
    }
    fclose(file);
}

static void report(void) {
    double seconds = (sink.last_at - sink.first_at) / 1e9;
    printf("{\"msgs\":%ld,\"unique\":%ld,\"dup\":%ld,\"noseq\":%ld,\"foreign\":%ld,\"badhash\":%ld,\"dkim\":%ld,"
           "\"listhelp\":%ld,\"rcpts\":%ld,\"t4xx\":%ld,\"p5xx\":%ld,\"bytes\":%llu,\"connections\":%ld,",
           sink.messages, sink.unique, sink.duplicates, sink.unnumbered, sink.other_run, sink.bad_hash, sink.signed_,
           sink.with_list_help, sink.recipients, sink.tempfails, sink.permfails, sink.octets, sink.sessions);
    printf("\"max_open\":%ld,\"first_last_s\":%.3f,\"msgs_s\":%.1f,\"MB_s\":%.2f,\"cpu\":%.3f,\"first_ns\":%llu,"
           "\"last_ns\":%llu}\n",
           sink.most_open, seconds, seconds > 0 ? sink.messages / seconds : 0,
           seconds > 0 ? sink.octets / 1e6 / seconds : 0, cpu_seconds(), (unsigned long long)sink.first_at,
           (unsigned long long)sink.last_at);
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    catch_signals();
    raise_file_limit();
    prepare_tls();
    run(listen_on_loopback());
    if (sink.options.log) write_log();
    report();
    return 0;
}
