/* Ground truth for time to first byte: an HTTP/1.1 server that knows when it really answered.
 *
 *   GET /s/<id>/<head_ms>/<first_ms>/<n>/<gap_ms>
 *       the head after head_ms, then n server-sent events: the first after first_ms, the others
 *       gap_ms apart. Delays count from the request's arrival in this machine's kernel. Each piece
 *       is one send() and one chunk; the connection is closed behind the answer.
 *   GET /truth
 *       one JSON line for each answer since the last call, then forgets them:
 *       {"id":7,"head":[before,after],"events":[[before,after],...]}, in ns since the arrival:
 *       CLOCK_MONOTONIC just before and just after the send().
 *
 * The arrival is the kernel's receive stamp (SO_TIMESTAMPNS), not the return of recv(): that this
 * server itself is woken late is a delay which its client truly sees.
 *
 * Usage: server THREADS. Prints its port, ends when its standard input does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL
#define NEAR_NS 20000      /* a reading of both clocks that took longer is repeated */
#define MOST_EVENTS 100000

struct sent { int64_t before, after; };

struct script { long id; long head_ms, first_ms, count, gap_ms; };

struct record {
    struct record *next;
    struct script script;
    int64_t arrived;
    struct sent pieces[]; /* the head, then each event */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *records;

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static int64_t now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(int64_t at)
{
    struct timespec t = {at / 1000000000LL, at % 1000000000LL};
    while (at > now(CLOCK_MONOTONIC) &&
           clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
}

/* Kernel stamps are CLOCK_REALTIME: read it between two readings of CLOCK_MONOTONIC. */
static int64_t monotonic_of(int64_t real)
{
    int64_t width = INT64_MAX, offset = 0;
    for (int i = 0; i < 50 && width > NEAR_NS; i++) {
        int64_t m1 = now(CLOCK_MONOTONIC);
        int64_t wall = now(CLOCK_REALTIME);
        int64_t m2 = now(CLOCK_MONOTONIC);
        if (m2 - m1 < width) {
            width = m2 - m1;
            offset = wall - (m1 + m2) / 2;
        }
    }
    return real - offset;
}

/* Reads the request's head; returns when its last bytes reached the kernel, 0 if none came. */
static int64_t receive(int fd, char *head, size_t size)
{
    size_t length = 0;
    int64_t real = 0;
    while (length < size - 1) {
        char control[256];
        struct iovec part = {head + length, size - 1 - length};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t got = recvmsg(fd, &message, 0);
        if (got <= 0)
            return 0;
        length += got;
        head[length] = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(c), sizeof t);
                real = t.tv_sec * 1000000000LL + t.tv_nsec;
            }
        if (strstr(head, "\r\n\r\n")) {
            if (real == 0)
                die("the kernel gave no receive stamp");
            return monotonic_of(real);
        }
    }
    return 0;
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        data += sent;
        size -= sent;
    }
    return 0;
}

static int send_stamped(int fd, const char *text, size_t size, struct sent *sent)
{
    sent->before = now(CLOCK_MONOTONIC);
    int failed = send_all(fd, text, size);
    sent->after = now(CLOCK_MONOTONIC);
    return failed;
}

static int send_event(int fd, long number, struct sent *sent)
{
    char event[128], chunk[160];
    int size = snprintf(event, sizeof event,
                        "data: {\"type\": \"delta\", \"content\": \"word\", \"n\": %ld}\n\n", number);
    int all = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", size, event);
    return send_stamped(fd, chunk, all, sent);
}

/* Before the last chunk is sent the record is there: who saw the end will find the truth. */
static void publish(struct record *record)
{
    pthread_mutex_lock(&lock);
    record->next = records;
    records = record;
    pthread_mutex_unlock(&lock);
}

static void replay(int fd, struct script script, int64_t arrived)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    struct record *record = calloc(1, sizeof *record + (script.count + 1) * sizeof(struct sent));
    if (record == NULL)
        die("calloc");
    record->script = script;
    record->arrived = arrived;
    sleep_until(arrived + script.head_ms * MS);
    int failed = send_stamped(fd, head, sizeof head - 1, &record->pieces[0]);
    for (long i = 0; i < script.count && !failed; i++) {
        sleep_until(arrived + (script.first_ms + i * script.gap_ms) * MS);
        failed = send_event(fd, i, &record->pieces[i + 1]);
    }
    if (failed) {
        free(record);
        return;
    }
    publish(record);
    send_all(fd, "0\r\n\r\n", 5);
}

static void tell(int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    pthread_mutex_lock(&lock);
    struct record *record = records;
    records = NULL;
    pthread_mutex_unlock(&lock);
    FILE *out = fdopen(dup(fd), "w");
    if (out == NULL)
        die("fdopen");
    fputs(head, out);
    while (record != NULL) {
        struct record *next = record->next;
        fprintf(out, "{\"id\":%ld,\"head\":[%lld,%lld],\"events\":[", record->script.id,
                (long long)(record->pieces[0].before - record->arrived),
                (long long)(record->pieces[0].after - record->arrived));
        for (long i = 1; i <= record->script.count; i++)
            fprintf(out, "%s[%lld,%lld]", i > 1 ? "," : "",
                    (long long)(record->pieces[i].before - record->arrived),
                    (long long)(record->pieces[i].after - record->arrived));
        fputs("]}\n", out);
        free(record);
        record = next;
    }
    fclose(out);
}

static void *serve(void *argument)
{
    int listener = *(int *)argument, yes = 1;
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        char head[8192];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            die("accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        int64_t arrived = receive(fd, head, sizeof head);
        struct script s;
        if (arrived != 0) {
            if (strncmp(head, "GET /truth ", 11) == 0)
                tell(fd);
            else if (sscanf(head, "GET /s/%ld/%ld/%ld/%ld/%ld ", &s.id, &s.head_ms, &s.first_ms,
                            &s.count, &s.gap_ms) == 5 && s.count >= 0 && s.count <= MOST_EVENTS)
                replay(fd, s, arrived);
            else
                send_all(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45);
        }
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static int listener; /* outlives main's frame: the threads read it */
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1, threads = argc > 1 ? atoi(argv[1]) : 64;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* On the listener, so that no request can arrive before its connection asks for stamps. */
    if (setsockopt(listener, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes) != 0)
        die("SO_TIMESTAMPNS");
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        die("listen");
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, &listener) != 0)
            die("pthread_create");
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
