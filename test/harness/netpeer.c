/*
 * Both ends of a test connection: a server that says who it is and whom it sees, and a client that says what became of its requests.
 * C because it is started in many network namespaces of a kernel where starting node takes seconds.
 *
 *   netpeer serve NAME tcp:PORT|udp:PORT|sctp:PORT ...
 *       Listens on all addresses of both families; prints "ready" when it does. TCP and SCTP speak HTTP/1.1 (any request with an empty
 *       line at its end), UDP answers each datagram. The answer's body is one line: "NAME PEER", PEER being the address the
 *       request came from as the server sees it. A TCP connection stays open for further requests if they say "keep-alive".
 *
 *   netpeer ask tcp|udp|sctp ADDRESS PORT [--count N] [--interval-ms N] [--timeout-ms N] [--source-port N] [--keep]
 *       Sends N requests (default 1; 0 = until it is killed), one at a time, each over a new socket (--keep: all over the first), and
 *       prints a line for each: "MICROSECONDS answered NAME PEER LOCAL", "… refused", "… timeout", "… unreachable" or "… error TEXT";
 *       MICROSECONDS is the wall clock at the answer, LOCAL the client's own address of the socket. Exit status 0 in every case.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SOCKETS = 256, REQUEST_BYTES = 2048 };

struct protocol {
  const char *name;
  int type;
  int number;
};
static const struct protocol protocols[] = {
    {"tcp", SOCK_STREAM, IPPROTO_TCP}, {"udp", SOCK_DGRAM, IPPROTO_UDP}, {"sctp", SOCK_STREAM, IPPROTO_SCTP}};

struct connection {
  char request[REQUEST_BYTES + 1];
  size_t length;
  char peer[INET6_ADDRSTRLEN];
};

static void die(const char *what) {
  fprintf(stderr, "netpeer: %s: %s\n", what, errno ? strerror(errno) : "wrong argument");
  exit(2);
}

static const struct protocol *find_protocol(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
    if (strlen(protocols[i].name) == length && strncmp(protocols[i].name, name, length) == 0) return &protocols[i];
  errno = 0;
  die(name);
  return NULL;
}

/* An IPv4 client of an IPv6 socket shows as ::ffff:a.b.c.d; print what its user would. */
static void print_address(const struct sockaddr_storage *address, char *text) {
  if (address->ss_family == AF_INET) {
    inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, INET6_ADDRSTRLEN);
    return;
  }
  const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(six))
    inet_ntop(AF_INET, &six->s6_addr[12], text, INET6_ADDRSTRLEN);
  else
    inet_ntop(AF_INET6, six, text, INET6_ADDRSTRLEN);
}

static int listen_on(const char *argument, int *is_datagram) {
  const char *colon = strchr(argument, ':');
  errno = 0;
  if (!colon) die(argument);
  const struct protocol *protocol = find_protocol(argument, (size_t)(colon - argument));
  *is_datagram = protocol->type == SOCK_DGRAM;
  int fd = socket(AF_INET6, protocol->type | SOCK_NONBLOCK, protocol->number);
  if (fd < 0) die(argument);
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(colon + 1))};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die(argument);
  if (!*is_datagram && listen(fd, 128) < 0) die(argument);
  return fd;
}

/* True when the connection is to be closed. */
static int serve_connection(int fd, struct connection *connection, const char *name) {
  ssize_t got = recv(fd, connection->request + connection->length, REQUEST_BYTES - connection->length, 0);
  if (got < 0) return errno != EAGAIN && errno != EINTR;
  if (got == 0) return 1;
  connection->length += (size_t)got;
  connection->request[connection->length] = 0;
  if (!strstr(connection->request, "\r\n\r\n")) return connection->length == REQUEST_BYTES;
  int keep = strcasestr(connection->request, "keep-alive") != NULL;
  char body[256], answer[512];
  int body_length = snprintf(body, sizeof body, "%s %s\n", name, connection->peer);
  int length = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s", body_length,
                        keep ? "keep-alive" : "close", body);
  connection->length = 0;
  if (send(fd, answer, (size_t)length, MSG_NOSIGNAL) != length) return 1;
  return !keep;
}

static void serve_datagram(int fd, const char *name) {
  char request[REQUEST_BYTES], peer[INET6_ADDRSTRLEN], answer[256];
  struct sockaddr_storage from;
  socklen_t from_length = sizeof from;
  if (recvfrom(fd, request, sizeof request, 0, (struct sockaddr *)&from, &from_length) < 0) return;
  print_address(&from, peer);
  int length = snprintf(answer, sizeof answer, "%s %s\n", name, peer);
  sendto(fd, answer, (size_t)length, 0, (struct sockaddr *)&from, from_length);
}

_Noreturn static void serve(int count, char **arguments) {
  static struct pollfd sockets[MAX_SOCKETS];
  static struct connection *connections[MAX_SOCKETS];
  int is_datagram[MAX_SOCKETS] = {0}, listeners = 0, used;
  const char *name = arguments[0];
  for (int i = 1; i < count && i < MAX_SOCKETS / 2; i++, listeners++)
    sockets[listeners] = (struct pollfd){.fd = listen_on(arguments[i], &is_datagram[listeners]), .events = POLLIN};
  used = listeners;
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (poll(sockets, (nfds_t)used, -1) < 0 && errno != EINTR) die("poll");
    for (int i = listeners; i < used;) {
      if (sockets[i].revents && serve_connection(sockets[i].fd, connections[i], name)) {
        close(sockets[i].fd);
        free(connections[i]);
        used--;
        sockets[i] = sockets[used];
        connections[i] = connections[used];
      } else {
        i++;
      }
    }
    for (int i = 0; i < listeners; i++) {
      if (!sockets[i].revents) continue;
      if (is_datagram[i]) {
        serve_datagram(sockets[i].fd, name);
        continue;
      }
      struct sockaddr_storage from;
      socklen_t from_length = sizeof from;
      int fd = accept4(sockets[i].fd, (struct sockaddr *)&from, &from_length, SOCK_NONBLOCK);
      if (fd < 0) continue;
      struct connection *connection = used < MAX_SOCKETS ? calloc(1, sizeof *connection) : NULL;
      if (!connection) {
        close(fd);
        continue;
      }
      print_address(&from, connection->peer);
      sockets[used] = (struct pollfd){.fd = fd, .events = POLLIN};
      connections[used++] = connection;
    }
  }
}

struct question {
  const struct protocol *protocol;
  struct sockaddr_storage to;
  socklen_t to_length;
  int timeout_ms;
  int source_port;
  int keep;
};

static int open_socket(const struct question *question) {
  int fd = socket(question->to.ss_family, question->protocol->type | SOCK_NONBLOCK, question->protocol->number);
  if (fd < 0) return -1;
  if (question->source_port) {
    int on = 1;
    struct sockaddr_storage from = {.ss_family = question->to.ss_family};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ((struct sockaddr_in *)&from)->sin_port = htons((unsigned short)question->source_port);
    if (bind(fd, (struct sockaddr *)&from, question->to_length) < 0) die("--source-port");
  }
  if (connect(fd, (const struct sockaddr *)&question->to, question->to_length) == 0) return fd;
  if (errno == EINPROGRESS) {
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready = poll(&wait, 1, question->timeout_ms), error = ETIMEDOUT;
    socklen_t length = sizeof error;
    if (ready > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) return fd;
    errno = error;
  }
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* The answer's body in `answer`, or -1 and errno. */
static int exchange(int fd, const struct question *question, char *answer, size_t size) {
  const char *request = question->protocol->type == SOCK_DGRAM ? "who are you?\n"
                        : question->keep ? "GET / HTTP/1.1\r\nHost: netpeer\r\nConnection: keep-alive\r\n\r\n"
                                         : "GET / HTTP/1.1\r\nHost: netpeer\r\nConnection: close\r\n\r\n";
  if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0) return -1;
  size_t length = 0;
  for (;;) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready = poll(&wait, 1, question->timeout_ms);
    if (ready == 0) errno = ETIMEDOUT;
    if (ready <= 0) return -1;
    ssize_t got = recv(fd, answer + length, size - 1 - length, 0);
    if (got < 0) return -1;
    if (got == 0) errno = ECONNRESET;
    if (got == 0) return -1;
    length += (size_t)got;
    answer[length] = 0;
    char *body = question->protocol->type == SOCK_DGRAM ? answer : strstr(answer, "\r\n\r\n");
    if (!body || !strchr(body + strspn(body, "\r\n"), '\n')) continue;
    body += strspn(body, "\r\n");
    body[strcspn(body, "\n")] = 0;
    memmove(answer, body, strlen(body) + 1);
    return 0;
  }
}

static void print_outcome(const char *text) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  printf("%lld %s\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000, text);
  fflush(stdout);
}

static void print_failure(void) {
  char text[256];
  switch (errno) {
    case ECONNREFUSED: print_outcome("refused"); return;
    case ETIMEDOUT: print_outcome("timeout"); return;
    case ENETUNREACH:
    case EHOSTUNREACH: print_outcome("unreachable"); return;
    default: snprintf(text, sizeof text, "error %s", strerror(errno)); print_outcome(text);
  }
}

static int ask(int count, char **arguments) {
  struct question question = {.protocol = find_protocol(arguments[0], strlen(arguments[0])), .timeout_ms = 2000};
  struct sockaddr_in *four = (struct sockaddr_in *)&question.to;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)&question.to;
  unsigned short port = htons((unsigned short)atoi(arguments[2]));
  if (inet_pton(AF_INET, arguments[1], &four->sin_addr) == 1) {
    four->sin_family = AF_INET, four->sin_port = port, question.to_length = sizeof *four;
  } else if (inet_pton(AF_INET6, arguments[1], &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6, six->sin6_port = port, question.to_length = sizeof *six;
  } else {
    errno = 0, die(arguments[1]);
  }
  long requests = 1, interval_ms = 0;
  for (int i = 3; i < count; i++) {
    int has_value = i + 1 < count;
    if (strcmp(arguments[i], "--keep") == 0) question.keep = 1;
    else if (has_value && strcmp(arguments[i], "--count") == 0) requests = atol(arguments[++i]);
    else if (has_value && strcmp(arguments[i], "--interval-ms") == 0) interval_ms = atol(arguments[++i]);
    else if (has_value && strcmp(arguments[i], "--timeout-ms") == 0) question.timeout_ms = atoi(arguments[++i]);
    else if (has_value && strcmp(arguments[i], "--source-port") == 0) question.source_port = atoi(arguments[++i]);
    else errno = 0, die(arguments[i]);
  }
  int fd = -1;
  for (long i = 0; requests == 0 || i < requests; i++) {
    if (i > 0 && interval_ms > 0) usleep((useconds_t)interval_ms * 1000);
    char answer[1024], local[INET6_ADDRSTRLEN], line[1200];
    if (fd < 0) fd = open_socket(&question);
    if (fd < 0 || exchange(fd, &question, answer, sizeof answer) < 0) {
      print_failure();
      if (fd >= 0) close(fd);
      fd = -1;
      continue;
    }
    struct sockaddr_storage own;
    socklen_t own_length = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &own_length);
    print_address(&own, local);
    snprintf(line, sizeof line, "answered %s %s", answer, local);
    print_outcome(line);
    if (!question.keep) {
      close(fd);
      fd = -1;
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc >= 4 && strcmp(argv[1], "serve") == 0) serve(argc - 2, argv + 2);
  if (argc >= 5 && strcmp(argv[1], "ask") == 0) return ask(argc - 2, argv + 2);
  fputs("usage: netpeer serve NAME PROTOCOL:PORT... | netpeer ask PROTOCOL ADDRESS PORT [options]\n", stderr);
  return 2;
}
