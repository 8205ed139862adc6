/*
 * The floor: what a plain C program needs to send the messages that ipvs-proxier sends. Messages are encoded ahead of the clock, sent in
 * batches of 128 KB with an acknowledgement asked for on the last message only, and counted from the first send to the last answer.
 *
 *   floor table S D   S virtual services with D destinations each added, every weight edited, destinations and services removed
 *   floor each S D    the same one message at a time, each waiting for its acknowledgement
 *   floor read S D R  R times everything read back: services by genl, destinations from /proc/net/ip_vs, parsed (the median)
 *   floor ipset N     N entries added to a hash:ip,port,ip set of preset size
 *   floor sync S D B  what a first sync writes: also the KUBE-CLUSTER-IP and KUBE-IPVS-IPS entries and the VIPs, bound as B says (`addresses`
 *                     on kube-ipvs0, the default, or local `routes`), in the reconciler's order (the two sets and the link must be there)
 *   floor audit S D B R   R times all of that read back, as `read` does, with the entries of the two sets and the addresses or local routes
 *   floor trip N      N bare round trips: one IPVS weight change each, send and acknowledgement
 *   floor entry N     N bare round trips: one ipset entry each, there already
 *
 * Prints one line of JSON, times in microseconds. Run it in a fresh network namespace: deleted destinations slow later adds.
 */
#include "netlink.h"

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

static void add_route(unsigned i) {
  struct rtmsg header = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = 155,
                         .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL};
  struct nlmsghdr *m = begin(RTM_NEWROUTE, &header, sizeof header);
  uint32_t v = vip(i);
  m->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
  put(m, RTA_DST, &v, 4);
  put32(m, RTA_OIF, if_nametoindex("lo"));
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

/* What a first sync writes; the time that the kernel took for it. */
static double write_all(int genl, int nfnl, int route, unsigned services, unsigned destinations, int routes) {
  unsigned link = if_nametoindex("kube-ipvs0");
  if (!link) die("kube-ipvs0");
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
  for (unsigned i = 0; i < services; i++) {
    if (routes) add_route(i);
    else add_address(i, link);
  }
  return micros + timed(route);
}

static void sync_all(int genl, unsigned services, unsigned destinations, int routes) {
  int nfnl = open_socket(NETLINK_NETFILTER), route = open_socket(NETLINK_ROUTE);
  double micros = write_all(genl, nfnl, route, services, destinations, routes);
  unsigned operations = services * (4 + destinations);
  printf("{\"operations\":%u,\"sync\":%.4f,\"ms\":%.4f}\n", operations, micros / operations, micros / 1000);
}

/* Addresses of entries, of an interface, of routes: kept as numbers. */
static uint32_t *read_addresses;
static unsigned address_count;

static struct nlattr *attribute_of(struct nlattr *first, uint8_t *stop, uint16_t type) {
  for (struct nlattr *a = first; (uint8_t *)a < stop; a = (struct nlattr *)((uint8_t *)a + NLA_ALIGN(a->nla_len)))
    if ((a->nla_type & NLA_TYPE_MASK) == type) return a;
  return NULL;
}

static uint8_t *end_of(struct nlattr *a) { return (uint8_t *)a + a->nla_len; }

static void take_entries(struct nlmsghdr *m) {
  uint8_t *stop = (uint8_t *)m + m->nlmsg_len;
  struct nlattr *first = (struct nlattr *)((uint8_t *)NLMSG_DATA(m) + NLMSG_ALIGN(sizeof(struct nfgenmsg)));
  struct nlattr *adt = attribute_of(first, stop, IPSET_ATTR_ADT);
  if (!adt) return;
  for (struct nlattr *data = adt + 1; (uint8_t *)data < end_of(adt);
       data = (struct nlattr *)((uint8_t *)data + NLA_ALIGN(data->nla_len))) {
    struct nlattr *ip = attribute_of(data + 1, end_of(data), IPSET_ATTR_IP);
    struct nlattr *value = ip ? attribute_of(ip + 1, end_of(ip), IPSET_ATTR_IPADDR_IPV4) : NULL;
    if (value) memcpy(&read_addresses[address_count++], value + 1, 4);
  }
}

static void take_route(struct nlmsghdr *m) {
  struct rtmsg *header = NLMSG_DATA(m);
  if (header->rtm_type != RTN_LOCAL || header->rtm_protocol != 155) return;
  struct nlattr *value = attribute_of((struct nlattr *)RTM_RTA(header), (uint8_t *)m + m->nlmsg_len, RTA_DST);
  if (value) memcpy(&read_addresses[address_count++], value + 1, 4);
}

static void take_address(struct nlmsghdr *m) {
  struct ifaddrmsg *header = NLMSG_DATA(m);
  struct nlattr *value = attribute_of((struct nlattr *)IFA_RTA(header), (uint8_t *)m + m->nlmsg_len, IFA_LOCAL);
  if (value) memcpy(&read_addresses[address_count++], value + 1, 4);
}

static void dump(int fd, struct nlmsghdr *request, void (*take)(struct nlmsghdr *)) {
  static uint8_t answer[1 << 18];
  request->nlmsg_flags |= NLM_F_DUMP;
  if (send(fd, request, request->nlmsg_len, 0) < 0) die("send");
  for (int done = 0; !done;) {
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n < 0) die("recv");
    for (struct nlmsghdr *m = (struct nlmsghdr *)answer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
      if (m->nlmsg_type == NLMSG_DONE) done = 1;
      else if (m->nlmsg_type == NLMSG_ERROR) die("a dump was refused");
      else take(m);
    }
  }
  used = 0;
}

static void dump_set(int nfnl, const char *set) {
  struct nfgenmsg header = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
  struct nlmsghdr *m = begin((NFNL_SUBSYS_IPSET << 8) | IPSET_CMD_LIST, &header, sizeof header);
  put8(m, IPSET_ATTR_PROTOCOL, 6);
  put(m, IPSET_ATTR_SETNAME, set, strlen(set) + 1);
  dump(nfnl, m, take_entries);
}

static void audit(int genl, unsigned services, unsigned destinations, int routes, unsigned rounds) {
  int nfnl = open_socket(NETLINK_NETFILTER), route = open_socket(NETLINK_ROUTE);
  write_all(genl, nfnl, route, services, destinations, routes);
  double *times = calloc(rounds, sizeof *times);
  read_services = calloc(services, sizeof *read_services);
  read_dests = calloc(services * destinations, sizeof *read_dests);
  read_addresses = calloc(3 * services + 64, sizeof *read_addresses);
  for (unsigned round = 0; round < rounds; round++) {
    service_count = dest_count = address_count = 0;
    double start = now();
    dump_services(genl);
    read_table_text();
    dump_set(nfnl, "KUBE-CLUSTER-IP");
    dump_set(nfnl, "KUBE-IPVS-IPS");
    struct ifaddrmsg addresses = {.ifa_family = AF_INET};
    dump(route, begin(RTM_GETADDR, &addresses, sizeof addresses), take_address);
    if (routes) {
      struct rtmsg header = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_LOCAL};
      dump(route, begin(RTM_GETROUTE, &header, sizeof header), take_route);
    }
    times[round] = now() - start;
    used = 0;
    if (service_count != services || dest_count != services * destinations || address_count < 3 * services)
      die("another number of objects");
  }
  qsort(times, rounds, sizeof *times, by_value);
  printf("{\"ms\":%.4f}\n", times[rounds / 2] / 1000);
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
  int genl = open_socket(NETLINK_GENERIC), routes = argc > 4 && strcmp(argv[4], "routes") == 0;
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
    sync_all(genl, n, d, routes);
  } else if (strcmp(mode, "audit") == 0) {
    audit(genl, n, d, routes, argc > 5 ? (unsigned)atoi(argv[5]) : 1);
  } else if (strcmp(mode, "trip") == 0) {
    new_service(0);
    destination(IPVS_CMD_NEW_DEST, 0, 0, 1);
    timed(genl);
    trips(genl, n, next_edit);
  } else {
    fprintf(stderr, "usage: floor table|each S D | floor sync S D [B] | floor read S D R | floor audit S D B R | floor ipset|trip|entry N\n");
    return 2;
  }
  return 0;
}
