#!/bin/sh
# Some of everything that a dump can hold, for capture.cc. Runs in a test kernel.
set -e
ipvsadm -R <<'IPVS'
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.244.0.1:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.244.0.2:8080 -m -w 0 -x 100 -y 50
-A -u 10.96.0.2:53 -s wrr -p 300 -M 255.255.255.0
-a -u 10.96.0.2:53 -r 10.244.0.3:53 -g -w 7
-A --sctp-service 10.96.0.3:9 -s sh -b sh-fallback,sh-port
-a --sctp-service 10.96.0.3:9 -r 10.244.0.3:9 -i -w 1
-A -t [fd00::1]:443 -s mh -p 60 -M 64
-a -t [fd00::1]:443 -r [fd00:244::1]:8443 -m -w 65535
-A -f 4711 -s lc -o
-a -f 4711 -r 10.244.0.3:0 -i --tun-type gue --tun-port 6080
-a -f 4711 -r 10.244.0.4:0 -i --tun-type gre --tun-csum
-A -f 4712 -6 -s wlc
-a -f 4712 -6 -r [fd00:244::2]:0 -g
IPVS
ipset restore <<'IPSET'
create CORPUS-IP hash:ip
add CORPUS-IP 10.0.0.1
add CORPUS-IP 10.0.0.2
create CORPUS-IP-6 hash:ip family inet6 comment timeout 600
add CORPUS-IP-6 fd00::1 comment "one" timeout 300
create CORPUS-NET hash:net comment counters skbinfo
add CORPUS-NET 10.0.0.0/8 comment "ten"
add CORPUS-NET 10.1.0.0/16 nomatch
create CORPUS-NET-6 hash:net family inet6
add CORPUS-NET-6 fd00::/8
create CORPUS-IP-PORT hash:ip,port timeout 0
add CORPUS-IP-PORT 10.0.0.1,tcp:80
add CORPUS-IP-PORT 10.0.0.1,udp:53 timeout 100
add CORPUS-IP-PORT 10.0.0.1,sctp:9
create CORPUS-LOOP hash:ip,port,ip family inet6
add CORPUS-LOOP fd00::1,tcp:80,fd00::1
create CORPUS-SOURCE hash:ip,port,net
add CORPUS-SOURCE 10.0.0.1,tcp:80,0.0.0.0/1
create CORPUS-SOURCE-6 hash:ip,port,net family inet6 comment
add CORPUS-SOURCE-6 fd00::1,udp:80,fd00::/64 comment "a longer comment than most"
create CORPUS-IFACE hash:net,iface
add CORPUS-IFACE 10.0.0.0/8,eth0
add CORPUS-IFACE 0.0.0.0/0,physdev:eth1 nomatch
create CORPUS-PORT bitmap:port range 0-65535 comment
add CORPUS-PORT 30080 comment "node port"
create CORPUS-LIST list:set
add CORPUS-LIST CORPUS-IP
create CORPUS-MAC hash:mac
add CORPUS-MAC 02:00:00:00:00:01
IPSET
ip -batch - <<'IP'
link add name corpus0 type dummy
link add name corpus1 type veth peer name corpus2
link add name corpus3 type bridge
addr add 10.96.0.10/32 dev corpus0
addr add 10.96.1.10/24 brd + dev corpus0 label corpus0:1 scope link
addr add 10.96.2.1 peer 10.96.2.2/32 dev corpus1 valid_lft 600 preferred_lft 300
addr add fd00::10/128 dev corpus0 preferred_lft 0
addr add fd00::11/64 dev corpus3 nodad noprefixroute
link set corpus0 up
link set corpus1 up
IP
ip route add local 10.97.0.0/16 dev lo proto static
ip -6 route add local fd00:97::/64 dev lo proto 100
conntrack -I -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 80 --state ESTABLISHED -t 600 -u ASSURED
conntrack -I -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1000 --dport 53 -t 600
conntrack -I -p udp -s fd00::1 -d fd00::2 --sport 1000 --dport 53 -t 600
conntrack -I -p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 5 -t 600
conntrack -I -p tcp -s 10.0.0.3 -d 10.0.0.4 --sport 1000 --dport 80 --reply-src 10.0.0.9 --reply-dst 10.0.0.3 \
  --reply-port-src 8080 --reply-port-dst 1000 --state ESTABLISHED -t 600
exec "$@"
