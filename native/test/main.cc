// native_test [fuzz rounds]
#include <cstdio>
#include <cstdlib>

#include "native/test/tests.h"

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20000;
  const auto run = [](const char* name, auto&& test) {
    test();
    std::printf("ok %s\n", name);
  };
  run("codecs", proxier::test::TestCodecs);
  run("decoders on garbled messages", [&] { proxier::test::FuzzDecoders(rounds); });
  run("exchange", proxier::test::TestExchange);
  run("session", proxier::test::TestSession);
  run("ipvs read back", [&] { proxier::test::TestIpvs(rounds); });
  run("routes and connections", [&] { proxier::test::TestRouteConntrack(rounds); });
  return 0;
}
