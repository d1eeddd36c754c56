/* An AudioSocket server that only reads and writes: every 20 ms one read and one silent frame for each connection. It is
 * what the system calls of so many calls cost when nothing is heard or decided.
 *
 *     only_frames FD < PIPE
 *
 * FD is a listening socket that does not block. A connection ends when its peer closes it, the program when PIPE does. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 3, FRAME = 320, MESSAGE = HEADER + FRAME, READ = 8 * MESSAGE, MOST = 4096, TICK_NS = 20 * 1000 * 1000 };

static const uint8_t SILENCE[MESSAGE] = {0x10, FRAME >> 8, FRAME & 0xff};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Wait; false if the pipe was closed meanwhile. */
static int wait_until(int64_t deadline) {
    struct pollfd pipe = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left;
    while ((left = deadline - now_ns()) > 0) {
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        if (ppoll(&pipe, 1, &timeout, NULL) > 0) return 0;
    }
    return 1;
}

static int would_wait(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/* One read and one write; false if the peer is gone or took only part of a message. */
static int exchange(int fd) {
    uint8_t heard[READ];
    ssize_t bytes = read(fd, heard, sizeof heard);
    if (bytes == 0 || (bytes < 0 && !would_wait())) return 0;
    bytes = write(fd, SILENCE, MESSAGE);
    return bytes == MESSAGE || (bytes < 0 && would_wait());
}

int main(int count, char **arguments) {
    static int connections[MOST];
    int listener = count == 2 ? atoi(arguments[1]) : -1, open = 0, fd, one = 1;
    if (listener < 0) return 2;
    signal(SIGPIPE, SIG_IGN);
    for (int64_t deadline = now_ns() + TICK_NS; wait_until(deadline); deadline += TICK_NS) {
        while (open < MOST && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            connections[open++] = fd;
        }
        for (int i = open - 1; i >= 0; i--) {
            if (exchange(connections[i])) continue;
            close(connections[i]);
            connections[i] = connections[--open];
        }
    }
    return 0;
}
