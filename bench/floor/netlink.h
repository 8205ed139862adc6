/* Netlink for the floor programs: messages in one buffer, sent in batches, the last answer awaited. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 128 * 1024, LARGEST = 512 };

static size_t limit = BATCH;
static uint8_t *buffer;
static size_t used, room;
static uint32_t sequence;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void reserve(size_t more) {
  if (used + more <= room) return;
  room = (used + more) * 2;
  buffer = realloc(buffer, room);
  if (!buffer) die("realloc");
}

static struct nlmsghdr *begin(uint16_t type, const void *header, size_t length) {
  reserve(LARGEST);
  struct nlmsghdr *message = (struct nlmsghdr *)(buffer + used);
  memset(message, 0, LARGEST);
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST;
  message->nlmsg_seq = ++sequence;
  message->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + length);
  memcpy(NLMSG_DATA(message), header, length);
  return message;
}

static struct nlattr *put(struct nlmsghdr *message, uint16_t type, const void *data, size_t length) {
  struct nlattr *attribute = (struct nlattr *)((uint8_t *)message + NLMSG_ALIGN(message->nlmsg_len));
  attribute->nla_type = type;
  attribute->nla_len = (uint16_t)(NLA_HDRLEN + length);
  if (length) memcpy((uint8_t *)attribute + NLA_HDRLEN, data, length);
  message->nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->nlmsg_len) + NLA_ALIGN(attribute->nla_len));
  return attribute;
}

static void put8(struct nlmsghdr *m, uint16_t type, uint8_t value) { put(m, type, &value, 1); }
static void put16(struct nlmsghdr *m, uint16_t type, uint16_t value) { put(m, type, &value, 2); }
static void put32(struct nlmsghdr *m, uint16_t type, uint32_t value) { put(m, type, &value, 4); }

static struct nlattr *nest(struct nlmsghdr *m, uint16_t type) { return put(m, type | NLA_F_NESTED, NULL, 0); }
static void unnest(struct nlmsghdr *m, struct nlattr *attribute) {
  attribute->nla_len = (uint16_t)((uint8_t *)m + m->nlmsg_len - (uint8_t *)attribute);
}
static void end(struct nlmsghdr *m) { used += NLMSG_ALIGN(m->nlmsg_len); }

static int open_socket(int protocol) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), one = 1, send = 1 << 20, receive = 8 << 20;
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send, sizeof send);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof receive);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  return fd;
}

static uint16_t family_id(int fd) {
  struct genlmsghdr header = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
  struct nlmsghdr *m = begin(GENL_ID_CTRL, &header, sizeof header);
  put(m, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME, sizeof IPVS_GENL_NAME);
  if (send(fd, m, m->nlmsg_len, 0) < 0) die("send");
  uint8_t answer[32768];
  ssize_t n = recv(fd, answer, sizeof answer, 0);
  struct nlmsghdr *reply = (struct nlmsghdr *)answer;
  if (n < 0 || reply->nlmsg_type == NLMSG_ERROR) {
    fprintf(stderr, "this kernel has no IPVS\n");
    exit(1);
  }
  for (struct nlattr *a = (struct nlattr *)(answer + NLMSG_HDRLEN + GENL_HDRLEN); (uint8_t *)a < answer + n;
       a = (struct nlattr *)((uint8_t *)a + NLA_ALIGN(a->nla_len)))
    if (a->nla_type == CTRL_ATTR_FAMILY_ID) return *(uint16_t *)((uint8_t *)a + NLA_HDRLEN);
  return 0;
}

/* Sends what is in the buffer in batches and waits for each last acknowledgement; an error answer ends the program. */
static void run(int fd) {
  static uint8_t answer[1 << 16];
  for (size_t at = 0; at < used;) {
    size_t stop = at;
    struct nlmsghdr *last = NULL;
    while (stop < used) {
      struct nlmsghdr *m = (struct nlmsghdr *)(buffer + stop);
      size_t length = NLMSG_ALIGN(m->nlmsg_len);
      if (last && stop + length - at > limit) break;
      last = m;
      stop += length;
    }
    last->nlmsg_flags |= NLM_F_ACK;
    if (send(fd, buffer + at, stop - at, 0) != (ssize_t)(stop - at)) die("send");
    for (int done = 0; !done;) {
      ssize_t n = recv(fd, answer, sizeof answer, 0);
      if (n < 0) die("recv");
      for (struct nlmsghdr *m = (struct nlmsghdr *)answer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
        struct nlmsgerr *e = NLMSG_DATA(m);
        if (m->nlmsg_type != NLMSG_ERROR) continue;
        if (e->error) {
          fprintf(stderr, "message %u: errno %d\n", m->nlmsg_seq, -e->error);
          exit(1);
        }
        if (m->nlmsg_seq == last->nlmsg_seq) done = 1;
      }
    }
    at = stop;
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double timed(int fd) {
  double start = now();
  run(fd);
  double micros = now() - start;
  used = 0;
  return micros;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
