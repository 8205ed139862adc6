#ifndef IPVS_PROXIER_NETLINK_SOCKET_H_
#define IPVS_PROXIER_NETLINK_SOCKET_H_

#include <netlink/socket.h>

#include <array>
#include <memory>

#include "native/netlink/transport.h"

namespace proxier::netlink {

// A netlink socket of the calling thread's network namespace, closed when it goes.
class Socket final : public Transport {
 public:
  // `timeout_ms`: how long a waiting receive waits at most.
  static Opened Open(int protocol, int timeout_ms);

  int Send(std::span<const uint8_t> bytes) override;
  int Receive(bool wait, std::vector<std::span<const uint8_t>>& datagrams) override;
  int Join(uint32_t group) override;
  [[nodiscard]] size_t MessageLimit() const override { return message_limit_; }

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  explicit Socket(std::unique_ptr<nl_sock, Free> socket);
  int Configure(int timeout_ms);

  std::unique_ptr<nl_sock, Free> socket_;
  std::unique_ptr<uint8_t[]> buffers_;
  size_t message_limit_ = 0;
};

}  // namespace proxier::netlink

#endif  // IPVS_PROXIER_NETLINK_SOCKET_H_
