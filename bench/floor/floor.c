/*
 * The floor: what a plain C program needs to send the messages that ipvs-proxier sends. Messages are encoded ahead of the clock, sent in
 * batches of 128 KB with an acknowledgement asked for on the last message only, and counted from the first send to the last answer.
 *
 *   floor ipvs S D    S virtual services with D destinations each
 *   floor sync S D    the same as a first sync: also the KUBE-CLUSTER-IP and KUBE-IPVS-IPS entries and the addresses on kube-ipvs0,
 *                     in the reconciler's order (the two sets and the link must be there)
 *   floor trip N      N bare round trips: one IPVS weight change each, send and acknowledgement
 *
 * Prints one line of JSON: {"operations":…,"micros":…}. Run it in a fresh network namespace: deleted destinations slow later adds.
 */
#include <arpa/inet.h>
#include <errno.h>
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
      if (last && stop + length - at > BATCH) break;
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

static uint32_t vip(unsigned i) { return htonl(0x0a600001u + i); }
static uint32_t pod(unsigned i) { return htonl(0x0af40001u + i % 60000u); }

static uint16_t ipvs;

static void service_id(struct nlmsghdr *m, unsigned i) {
  uint8_t address[16] = {0};
  uint32_t v = vip(i);
  memcpy(address, &v, 4);
  put16(m, IPVS_SVC_ATTR_AF, AF_INET);
  put16(m, IPVS_SVC_ATTR_PROTOCOL, IPPROTO_TCP);
  put(m, IPVS_SVC_ATTR_ADDR, address, sizeof address);
  put16(m, IPVS_SVC_ATTR_PORT, htons(80));
}

static void new_service(unsigned i) {
  struct genlmsghdr header = {.cmd = IPVS_CMD_NEW_SERVICE, .version = IPVS_GENL_VERSION};
  struct nlmsghdr *m = begin(ipvs, &header, sizeof header);
  struct nlattr *service = nest(m, IPVS_CMD_ATTR_SERVICE);
  struct ip_vs_flags flags = {.flags = 0, .mask = ~0u};
  service_id(m, i);
  put(m, IPVS_SVC_ATTR_SCHED_NAME, "rr", 3);
  put(m, IPVS_SVC_ATTR_FLAGS, &flags, sizeof flags);
  put32(m, IPVS_SVC_ATTR_TIMEOUT, 0);
  put32(m, IPVS_SVC_ATTR_NETMASK, 0xffffffff);
  unnest(m, service);
  end(m);
}

static void destination(uint8_t command, unsigned i, unsigned d, uint32_t weight) {
  struct genlmsghdr header = {.cmd = command, .version = IPVS_GENL_VERSION};
  struct nlmsghdr *m = begin(ipvs, &header, sizeof header);
  struct nlattr *service = nest(m, IPVS_CMD_ATTR_SERVICE);
  service_id(m, i);
  unnest(m, service);
  struct nlattr *dest = nest(m, IPVS_CMD_ATTR_DEST);
  uint8_t address[16] = {0};
  uint32_t p = pod(d);
  memcpy(address, &p, 4);
  put(m, IPVS_DEST_ATTR_ADDR, address, sizeof address);
  put16(m, IPVS_DEST_ATTR_PORT, htons(8080));
  put32(m, IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
  put32(m, IPVS_DEST_ATTR_WEIGHT, weight);
  put32(m, IPVS_DEST_ATTR_U_THRESH, 0);
  put32(m, IPVS_DEST_ATTR_L_THRESH, 0);
  put16(m, IPVS_DEST_ATTR_ADDR_FAMILY, AF_INET);
  unnest(m, dest);
  end(m);
}

static void add_entry(const char *set, unsigned i, int with_port) {
  struct nfgenmsg header = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
  struct nlmsghdr *m = begin((NFNL_SUBSYS_IPSET << 8) | IPSET_CMD_ADD, &header, sizeof header);
  uint32_t v = vip(i);
  put8(m, IPSET_ATTR_PROTOCOL, 6);
  put(m, IPSET_ATTR_SETNAME, set, strlen(set) + 1);
  struct nlattr *data = nest(m, IPSET_ATTR_DATA), *ip = nest(m, IPSET_ATTR_IP);
  put(m, IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER, &v, 4);
  unnest(m, ip);
  if (with_port) {
    put16(m, IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, htons(80));
    put8(m, IPSET_ATTR_PROTO, IPPROTO_TCP);
  }
  unnest(m, data);
  end(m);
}

static void add_address(unsigned i, unsigned link) {
  struct ifaddrmsg header = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_scope = RT_SCOPE_HOST, .ifa_index = link};
  struct nlmsghdr *m = begin(RTM_NEWADDR, &header, sizeof header);
  uint32_t v = vip(i);
  m->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
  put(m, IFA_LOCAL, &v, 4);
  put(m, IFA_ADDRESS, &v, 4);
  end(m);
}

static double timed(int fd) {
  double start = now();
  run(fd);
  double micros = now() - start;
  used = 0;
  return micros;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: floor ipvs S D | floor sync S D | floor trip N\n");
    return 2;
  }
  int genl = open_socket(NETLINK_GENERIC);
  ipvs = family_id(genl);
  used = 0;
  unsigned services = (unsigned)atoi(argv[2]), destinations = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
  unsigned operations = services * (1 + destinations);
  double micros = 0;
  if (strcmp(argv[1], "trip") == 0) {
    new_service(0);
    destination(IPVS_CMD_NEW_DEST, 0, 0, 1);
    timed(genl);
    for (unsigned i = 0; i < services; i++) {
      destination(IPVS_CMD_SET_DEST, 0, 0, 1 + i % 2);
      micros += timed(genl);
    }
    operations = services;
  } else if (strcmp(argv[1], "ipvs") == 0) {
    for (unsigned i = 0; i < services; i++) {
      new_service(i);
      for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_NEW_DEST, i, i * destinations + d, 1);
    }
    micros = timed(genl);
  } else if (strcmp(argv[1], "sync") == 0) {
    unsigned link = if_nametoindex("kube-ipvs0");
    if (!link) die("kube-ipvs0");
    int nfnl = open_socket(NETLINK_NETFILTER), route = open_socket(NETLINK_ROUTE);
    for (unsigned i = 0; i < services; i++) new_service(i);
    micros += timed(genl);
    for (unsigned i = 0; i < services; i++) add_entry("KUBE-CLUSTER-IP", i, 1);
    micros += timed(nfnl);
    for (unsigned i = 0; i < services; i++)
      for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_NEW_DEST, i, i * destinations + d, 1);
    micros += timed(genl);
    for (unsigned i = 0; i < services; i++) add_entry("KUBE-IPVS-IPS", i, 0);
    micros += timed(nfnl);
    for (unsigned i = 0; i < services; i++) add_address(i, link);
    micros += timed(route);
    operations += services * 3;
  } else {
    fprintf(stderr, "unknown: %s\n", argv[1]);
    return 2;
  }
  printf("{\"operations\":%u,\"micros\":%.0f}\n", operations, micros);
  return 0;
}
