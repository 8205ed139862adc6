#include "native/netlink/family.h"

#include <linux/genetlink.h>

#include <cerrno>

#include "native/netlink/exchange.h"
#include "native/wire.h"

namespace proxier::netlink {

Family ResolveFamily(Transport& transport, const char* name) {
  Request request(transport, GENL_ID_CTRL, 0);
  const genlmsghdr header = {.cmd = CTRL_CMD_GETFAMILY, .version = 1, .reserved = 0};
  request.writer().Raw(&header, sizeof header);
  request.writer().PutString(CTRL_ATTR_FAMILY_NAME, name);
  uint16_t id = 0;
  const int32_t error = Ask(transport, request.bytes(), [&](std::span<const uint8_t> payload) {
    if (payload.size() < GENL_HDRLEN) return;
    const Attributes<CTRL_ATTR_FAMILY_ID + 1> attributes(payload.subspan(GENL_HDRLEN));
    id = attributes[CTRL_ATTR_FAMILY_ID].U16();
  });
  if (error == ENOENT) return {.error = kAbsent, .id = 0};
  if (error == 0 && id == 0) return {.error = kUnknown, .id = 0};
  // An answer with a failure behind it is none.
  if (error != 0) return {.error = error, .id = 0};
  return {.error = 0, .id = id};
}

}  // namespace proxier::netlink
