#ifndef IPVS_PROXIER_TEST_TESTS_H_
#define IPVS_PROXIER_TEST_TESTS_H_

namespace proxier::test {

void TestCodecs();
void FuzzDecoders(int rounds);
void TestExchange();
void TestSession();
void TestIpvs(int rounds);
void TestRouteConntrack(int rounds);

}  // namespace proxier::test

#endif  // IPVS_PROXIER_TEST_TESTS_H_
