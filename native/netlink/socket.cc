#include "native/netlink/socket.h"

#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>

namespace proxier::netlink {
namespace {

constexpr int kSendBuffer = 1 << 20;
constexpr int kReceiveBuffer = 8 << 20;
// What one failure answer takes of the receive buffer at most: 768 bytes, and more for one that
// echoes its request.
constexpr size_t kAnswerBytes = 2048;

// libnl reports in its own numbers; errno still holds the kernel's.
int OpenError() { return errno == 0 ? ENOMEM : errno; }

bool SetOption(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

}  // namespace

Socket::Socket(std::unique_ptr<nl_sock, Free> socket)
    : socket_(std::move(socket)), buffers_(new uint8_t[kDatagramBytes * kDatagramsAtOnce]) {}

Opened Socket::Open(int protocol, int timeout_ms) {
  std::unique_ptr<nl_sock, Free> socket(nl_socket_alloc());
  if (socket == nullptr) return {nullptr, ENOMEM};
  errno = 0;
  if (nl_connect(socket.get(), protocol) < 0) return {nullptr, OpenError()};
  std::unique_ptr<Socket> result(new Socket(std::move(socket)));
  const int error = result->Configure(timeout_ms);
  if (error != 0) return {nullptr, error};
  return {std::move(result), 0};
}

int Socket::Configure(int timeout_ms) {
  const int fd = nl_socket_get_fd(socket_.get());
  // The forced sizes need CAP_NET_ADMIN. Without it nothing here will be allowed anyway, but the
  // answers have to fit.
  if (!SetOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer))
    SetOption(fd, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
  if (!SetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer))
    SetOption(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
  int receive_buffer = 0;
  socklen_t size = sizeof receive_buffer;
  if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, &size) != 0) return errno;
  message_limit_ = std::max<size_t>(1, static_cast<size_t>(receive_buffer) / kAnswerBytes);
  const timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) return errno;
  // Comforts of newer kernels: short failure answers with a text, and dumps that honour their
  // filters.
  SetOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  SetOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  SetOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  return 0;
}

int Socket::Join(uint32_t group) {
  const int fd = nl_socket_get_fd(socket_.get());
  return SetOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, static_cast<int>(group)) ? 0 : errno;
}

int Socket::Send(std::span<const uint8_t> bytes) {
  const int fd = nl_socket_get_fd(socket_.get());
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  for (;;) {
    const ssize_t sent = sendto(fd, bytes.data(), bytes.size(), 0,
                                reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
    if (sent >= 0) return static_cast<size_t>(sent) == bytes.size() ? 0 : EMSGSIZE;
    if (errno != EINTR) return errno;
  }
}

int Socket::Receive(bool wait, std::vector<std::span<const uint8_t>>& datagrams) {
  datagrams.clear();
  const int fd = nl_socket_get_fd(socket_.get());
  std::array<mmsghdr, kDatagramsAtOnce> headers{};
  std::array<iovec, kDatagramsAtOnce> vectors{};
  std::array<sockaddr_nl, kDatagramsAtOnce> senders{};
  for (size_t i = 0; i < kDatagramsAtOnce; i++) {
    vectors[i] = {.iov_base = buffers_.get() + i * kDatagramBytes, .iov_len = kDatagramBytes};
    headers[i].msg_hdr.msg_iov = &vectors[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_name = &senders[i];
    headers[i].msg_hdr.msg_namelen = sizeof senders[i];
  }
  const int flags = wait ? MSG_WAITFORONE : MSG_DONTWAIT;
  int count = 0;
  do {
    count = recvmmsg(fd, headers.data(), headers.size(), flags, nullptr);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return errno;
  for (size_t i = 0; i < static_cast<size_t>(count); i++) {
    // Only the kernel's word counts, and only whole.
    if (senders[i].nl_pid != 0) continue;
    if ((headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) return EMSGSIZE;
    datagrams.emplace_back(buffers_.get() + i * kDatagramBytes, headers[i].msg_len);
  }
  return 0;
}

}  // namespace proxier::netlink
