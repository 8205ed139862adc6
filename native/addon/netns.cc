#include "native/addon/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace proxier {

int32_t EnterNetns(const std::string& path) {
  if (gettid() == getpid()) return kMainThread;
  // Not to wait for the writer of a named pipe.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno;
  int32_t result = 0;
  if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
    result = kNotNamespace;
  } else if (setns(fd, CLONE_NEWNET) != 0) {
    result = errno;
  }
  close(fd);
  return result;
}

}  // namespace proxier
