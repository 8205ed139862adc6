/*
 * What a C program does that uses libnl-3 as its manual shows: one message an operation, encoded by the library, sent, and its
 * acknowledgement waited for. Encoding is in the clock, as it is for everybody who calls it.
 *
 *   libnl S D    S virtual services with D destinations each added, every weight edited, destinations and services removed
 *
 * Prints one line of JSON, microseconds an operation. Run it in a fresh network namespace.
 */
#include <arpa/inet.h>
#include <linux/ip_vs.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct nl_sock *sock;
static int family;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void put_address(struct nl_msg *msg, int type, uint32_t address) {
  uint8_t bytes[16] = {0};
  address = htonl(address);
  memcpy(bytes, &address, 4);
  nla_put(msg, type, sizeof bytes, bytes);
}

static void send_sync(struct nl_msg *msg) {
  int error = nl_send_sync(sock, msg);
  if (error < 0) {
    fprintf(stderr, "libnl: %s\n", nl_geterror(error));
    exit(1);
  }
}

static struct nl_msg *message(uint8_t command) {
  struct nl_msg *msg = nlmsg_alloc();
  genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, 0, command, IPVS_GENL_VERSION);
  return msg;
}

static void service_id(struct nl_msg *msg, unsigned i) {
  nla_put_u16(msg, IPVS_SVC_ATTR_AF, AF_INET);
  nla_put_u16(msg, IPVS_SVC_ATTR_PROTOCOL, IPPROTO_TCP);
  put_address(msg, IPVS_SVC_ATTR_ADDR, 0x0a600001u + i);
  nla_put_u16(msg, IPVS_SVC_ATTR_PORT, htons(80));
}

static void service(uint8_t command, unsigned i) {
  struct nl_msg *msg = message(command);
  struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_SERVICE);
  service_id(msg, i);
  if (command == IPVS_CMD_NEW_SERVICE) {
    struct ip_vs_flags flags = {.flags = 0, .mask = ~0u};
    nla_put_string(msg, IPVS_SVC_ATTR_SCHED_NAME, "rr");
    nla_put(msg, IPVS_SVC_ATTR_FLAGS, sizeof flags, &flags);
    nla_put_u32(msg, IPVS_SVC_ATTR_TIMEOUT, 0);
    nla_put_u32(msg, IPVS_SVC_ATTR_NETMASK, 0xffffffff);
  }
  nla_nest_end(msg, nest);
  send_sync(msg);
}

static void destination(uint8_t command, unsigned i, unsigned d, uint32_t weight) {
  struct nl_msg *msg = message(command);
  struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_SERVICE);
  service_id(msg, i);
  nla_nest_end(msg, nest);
  nest = nla_nest_start(msg, IPVS_CMD_ATTR_DEST);
  put_address(msg, IPVS_DEST_ATTR_ADDR, 0x0af40001u + d % 60000u);
  nla_put_u16(msg, IPVS_DEST_ATTR_PORT, htons(8080));
  nla_put_u32(msg, IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
  nla_put_u32(msg, IPVS_DEST_ATTR_WEIGHT, weight);
  nla_put_u32(msg, IPVS_DEST_ATTR_U_THRESH, 0);
  nla_put_u32(msg, IPVS_DEST_ATTR_L_THRESH, 0);
  nla_put_u16(msg, IPVS_DEST_ATTR_ADDR_FAMILY, AF_INET);
  nla_nest_end(msg, nest);
  send_sync(msg);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: libnl S D\n");
    return 2;
  }
  unsigned services = (unsigned)atoi(argv[1]), destinations = (unsigned)atoi(argv[2]);
  sock = nl_socket_alloc();
  if (!sock || genl_connect(sock) < 0 || (family = genl_ctrl_resolve(sock, IPVS_GENL_NAME)) < 0) {
    fprintf(stderr, "this kernel has no IPVS\n");
    return 1;
  }
  double start = now();
  for (unsigned i = 0; i < services; i++) {
    service(IPVS_CMD_NEW_SERVICE, i);
    for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_NEW_DEST, i, i * destinations + d, 1);
  }
  double added = now();
  for (unsigned i = 0; i < services; i++)
    for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_SET_DEST, i, i * destinations + d, 2);
  double edited = now();
  for (unsigned i = 0; i < services; i++) {
    for (unsigned d = 0; d < destinations; d++) destination(IPVS_CMD_DEL_DEST, i, i * destinations + d, 2);
    service(IPVS_CMD_DEL_SERVICE, i);
  }
  double removed = now(), all = services * (1.0 + destinations);
  printf("{\"add\":%.4f,\"edit\":%.4f,\"remove\":%.4f}\n", (added - start) / all,
         (edited - added) / (services * destinations), (removed - edited) / all);
  nl_socket_free(sock);
  return 0;
}
