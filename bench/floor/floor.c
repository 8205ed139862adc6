/*
 * The floor: what a plain C program needs to send the messages that ipvs-proxier sends. Messages are encoded ahead of the clock, sent in
 * batches of 128 KB with an acknowledgement asked for on the last message only, and counted from the first send to the last answer.
 *
 *   floor table S D   S virtual services with D destinations each added, every weight edited, destinations and services removed
 *   floor each S D    the same one message at a time, each waiting for its acknowledgement
 *   floor read S D R  R times everything read back: services by genl, destinations from /proc/net/ip_vs, parsed (the median)
 *   floor ipset N     N entries added to a hash:ip,port,ip set of preset size
 *   floor sync S D    what a first sync writes: also the KUBE-CLUSTER-IP and KUBE-IPVS-IPS entries and the addresses on kube-ipvs0,
 *                     in the reconciler's order (the two sets and the link must be there)
 *   floor trip N      N bare round trips: one IPVS weight change each, send and acknowledgement
 *   floor entry N     N bare round trips: one ipset entry each, there already
 *
 * Prints one line of JSON, times in microseconds. Run it in a fresh network namespace: deleted destinations slow later adds.
 */
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

static void remove_service(unsigned i) {
  struct genlmsghdr header = {.cmd = IPVS_CMD_DEL_SERVICE, .version = IPVS_GENL_VERSION};
  struct nlmsghdr *m = begin(ipvs, &header, sizeof header);
  struct nlattr *service = nest(m, IPVS_CMD_ATTR_SERVICE);
  service_id(m, i);
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

/* The i-th of the entries 10.244.x.y,tcp:8080,10.244.x.y */
static void add_pair(const char *set, unsigned i) {
  struct nfgenmsg header = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
  struct nlmsghdr *m = begin((NFNL_SUBSYS_IPSET << 8) | IPSET_CMD_ADD, &header, sizeof header);
  uint32_t p = pod(i);
  put8(m, IPSET_ATTR_PROTOCOL, 6);
  put(m, IPSET_ATTR_SETNAME, set, strlen(set) + 1);
  struct nlattr *data = nest(m, IPSET_ATTR_DATA), *ip = nest(m, IPSET_ATTR_IP);
  put(m, IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER, &p, 4);
  unnest(m, ip);
  put16(m, IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, htons(8080));
  put8(m, IPSET_ATTR_PROTO, IPPROTO_TCP);
  ip = nest(m, IPSET_ATTR_IP2);
  put(m, IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER, &p, 4);
  unnest(m, ip);
  unnest(m, data);
  end(m);
}

static void create_set(const char *set, uint32_t hash_size) {
  struct nfgenmsg header = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
  struct nlmsghdr *m = begin((NFNL_SUBSYS_IPSET << 8) | IPSET_CMD_CREATE, &header, sizeof header);
  m->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
  put8(m, IPSET_ATTR_PROTOCOL, 6);
  put(m, IPSET_ATTR_SETNAME, set, strlen(set) + 1);
  put(m, IPSET_ATTR_TYPENAME, "hash:ip,port,ip", 16);
  put8(m, IPSET_ATTR_REVISION, 5);
  put8(m, IPSET_ATTR_FAMILY, AF_INET);
  struct nlattr *data = nest(m, IPSET_ATTR_DATA);
  put32(m, IPSET_ATTR_HASHSIZE | NLA_F_NET_BYTEORDER, htonl(hash_size));
  put32(m, IPSET_ATTR_MAXELEM | NLA_F_NET_BYTEORDER, htonl(2 * hash_size));
  unnest(m, data);
  end(m);
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

static void add_table(unsigned services, unsigned destinations) {
  for (unsigned i = 0; i < services; i++) {
    new_service(i);
    for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_NEW_DEST, i, i * destinations + d, 1);
  }
}

/* The first virtual service of a namespace registers hooks: that is not what is measured. */
static void warm_up(int genl) {
  for (unsigned i = 0; i < 1000; i++) new_service(i);
  run(genl);
  used = 0;
  for (unsigned i = 0; i < 1000; i++) remove_service(i);
  run(genl);
  used = 0;
}

static void table(int genl, unsigned services, unsigned destinations) {
  warm_up(genl);
  add_table(services, destinations);
  double add = timed(genl);
  for (unsigned i = 0; i < services; i++)
    for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_SET_DEST, i, i * destinations + d, 2);
  double edit = timed(genl);
  for (unsigned i = 0; i < services; i++) {
    for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_DEL_DEST, i, i * destinations + d, 2);
    remove_service(i);
  }
  double remove = timed(genl);
  double all = services * (1.0 + destinations);
  printf("{\"add\":%.4f,\"edit\":%.4f,\"remove\":%.4f}\n", add / all, edit / (services * destinations), remove / all);
}

/* What a program wants to have in its hands afterwards. */
struct service {
  uint8_t address[16];
  uint16_t family, protocol, port;
  uint32_t flags, timeout, netmask;
  char scheduler[16];
};
struct dest {
  uint32_t service, address, weight, active, inactive, forward;
  uint16_t port;
};

static struct service *read_services;
static struct dest *read_dests;
static unsigned service_count, dest_count;

static void take_service(struct nlattr *attributes) {
  struct service *s = &read_services[service_count++];
  uint8_t *stop = (uint8_t *)attributes + attributes->nla_len;
  for (struct nlattr *a = attributes + 1; (uint8_t *)a < stop; a = (struct nlattr *)((uint8_t *)a + NLA_ALIGN(a->nla_len))) {
    void *value = a + 1;
    switch (a->nla_type) {
      case IPVS_SVC_ATTR_AF: memcpy(&s->family, value, 2); break;
      case IPVS_SVC_ATTR_PROTOCOL: memcpy(&s->protocol, value, 2); break;
      case IPVS_SVC_ATTR_ADDR: memcpy(s->address, value, 16); break;
      case IPVS_SVC_ATTR_PORT: memcpy(&s->port, value, 2); break;
      case IPVS_SVC_ATTR_SCHED_NAME: memcpy(s->scheduler, value, (size_t)a->nla_len - NLA_HDRLEN); break;
      case IPVS_SVC_ATTR_FLAGS: memcpy(&s->flags, value, 4); break;
      case IPVS_SVC_ATTR_TIMEOUT: memcpy(&s->timeout, value, 4); break;
      case IPVS_SVC_ATTR_NETMASK: memcpy(&s->netmask, value, 4); break;
    }
  }
}

static void dump_services(int genl) {
  static uint8_t answer[1 << 16];
  struct genlmsghdr header = {.cmd = IPVS_CMD_GET_SERVICE, .version = IPVS_GENL_VERSION};
  struct nlmsghdr *request = begin(ipvs, &header, sizeof header);
  request->nlmsg_flags |= NLM_F_DUMP;
  if (send(genl, request, request->nlmsg_len, 0) < 0) die("send");
  for (int done = 0; !done;) {
    ssize_t n = recv(genl, answer, sizeof answer, 0);
    if (n < 0) die("recv");
    for (struct nlmsghdr *m = (struct nlmsghdr *)answer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
      if (m->nlmsg_type == NLMSG_DONE) done = 1;
      else take_service((struct nlattr *)((uint8_t *)m + NLMSG_HDRLEN + GENL_HDRLEN));
    }
  }
}

static void read_table_text(void) {
  static char text[8 << 20];
  int fd = open("/proc/net/ip_vs", O_RDONLY | O_CLOEXEC);
  if (fd < 0) die("/proc/net/ip_vs");
  size_t length = 0;
  for (ssize_t n; (n = read(fd, text + length, 1 << 16)) > 0;) length += (size_t)n;
  close(fd);
  text[length] = 0;
  uint32_t service = 0;
  for (char *line = text; *line; line = strchr(line, '\n') + 1) {
    if (line[0] != ' ') {
      service++;
      continue;
    }
    if (strncmp(line, "  -> ", 5) != 0 || line[5] == 'R') continue;
    struct dest *d = &read_dests[dest_count++];
    char *at = line + 5;
    d->service = service;
    d->address = (uint32_t)strtoul(at, &at, 16);
    d->port = (uint16_t)strtoul(at + 1, &at, 16);
    while (*at == ' ') at++;
    d->forward = (uint32_t)*at;
    at = strchr(at, ' ');
    d->weight = (uint32_t)strtoul(at, &at, 10);
    d->active = (uint32_t)strtoul(at, &at, 10);
    d->inactive = (uint32_t)strtoul(at, &at, 10);
  }
}

static void read_back(int genl, unsigned services, unsigned destinations, unsigned rounds) {
  add_table(services, destinations);
  timed(genl);
  double *times = calloc(rounds, sizeof *times);
  read_services = calloc(services, sizeof *read_services);
  read_dests = calloc(services * destinations, sizeof *read_dests);
  for (unsigned round = 0; round < rounds; round++) {
    service_count = dest_count = 0;
    double start = now();
    dump_services(genl);
    read_table_text();
    times[round] = now() - start;
    used = 0;
    if (service_count != services || dest_count != services * destinations) die("another number of objects");
  }
  qsort(times, rounds, sizeof *times, by_value);
  printf("{\"read\":%.4f}\n", times[rounds / 2] / 1000);
}

/* N round trips, made by `next`; the mean is of a loop without a clock in it, for that is a system call too. */
static void trips(int fd, unsigned count, void (*next)(unsigned)) {
  double *times = calloc(count, sizeof *times);
  for (unsigned i = 0; i < 200; i++) {
    next(i);
    timed(fd);
  }
  double start = now();
  for (unsigned i = 0; i < count; i++) {
    next(i);
    run(fd);
    used = 0;
  }
  double mean = (now() - start) / count;
  for (unsigned i = 0; i < count; i++) {
    next(i);
    times[i] = timed(fd);
  }
  qsort(times, count, sizeof *times, by_value);
  printf("{\"mean\":%.3f,\"p50\":%.3f,\"p99\":%.3f}\n", mean, times[count / 2], times[count * 99 / 100]);
}

static void next_edit(unsigned i) { destination(IPVS_CMD_SET_DEST, 0, 0, 1 + i % 2); }
static void next_entry(unsigned i) { add_pair("BENCH", i % 2); }

static void sync_all(int genl, unsigned services, unsigned destinations) {
  unsigned link = if_nametoindex("kube-ipvs0");
  if (!link) die("kube-ipvs0");
  int nfnl = open_socket(NETLINK_NETFILTER), route = open_socket(NETLINK_ROUTE);
  double micros = 0;
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
  unsigned operations = services * (4 + destinations);
  printf("{\"operations\":%u,\"sync\":%.4f}\n", operations, micros / operations);
}

int main(int argc, char **argv) {
  const char *mode = argc > 2 ? argv[1] : "";
  unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 0, d = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
  if (strcmp(mode, "ipset") == 0 || strcmp(mode, "entry") == 0) {
    int nfnl = open_socket(NETLINK_NETFILTER);
    create_set("BENCH", 65536);
    timed(nfnl);
    if (mode[0] == 'e') {
      trips(nfnl, n, next_entry);
    } else {
      for (unsigned i = 0; i < n; i++) add_pair("BENCH", i);
      printf("{\"add\":%.4f}\n", timed(nfnl) / n);
    }
    return 0;
  }
  int genl = open_socket(NETLINK_GENERIC);
  ipvs = family_id(genl);
  used = 0;
  if (strcmp(mode, "table") == 0) {
    table(genl, n, d);
  } else if (strcmp(mode, "each") == 0) {
    limit = 1;
    table(genl, n, d);
  } else if (strcmp(mode, "read") == 0) {
    read_back(genl, n, d, argc > 4 ? (unsigned)atoi(argv[4]) : 1);
  } else if (strcmp(mode, "sync") == 0) {
    sync_all(genl, n, d);
  } else if (strcmp(mode, "trip") == 0) {
    new_service(0);
    destination(IPVS_CMD_NEW_DEST, 0, 0, 1);
    timed(genl);
    trips(genl, n, next_edit);
  } else {
    fprintf(stderr, "usage: floor table|each|sync S D | floor read S D R | floor ipset|trip|entry N\n");
    return 2;
  }
  return 0;
}
