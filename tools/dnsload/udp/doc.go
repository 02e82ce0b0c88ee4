// Package udp is the sender for plain DNS: one locked thread, many connected sockets ("flows"), batches by sendmmsg and
// recvmmsg, or single datagrams by sendto and recvfrom, on memory set up once.
//
// It has to cost less per query than any server it measures, and to disturb the server little:
//
//   - Flows are connected, so the kernel looks up no route per datagram, and an answer from elsewhere never arrives.
//   - Queries are composed in the slots of the pending table and sent from there. Of an answer only the header and the
//     question are read; the kernel drops the rest of the datagram.
//   - In closed loop with a large window the thread dozes when little has come in. Answers pile up meanwhile and are read in
//     large batches, and the server's thread need not wake this one for every few of them. Answers wait at most dozePause,
//     which is a small part of the time a query spends in a window that large; latency belongs in open loop.
//   - There, and in open loop at rates that leave no time to sleep (sweepRate), unless it is to spin, sockets are not watched (epoll)
//     but read one after the other: watching costs the server, too, with every answer, and clients on other machines cost it nothing
//     of the kind. A late or second answer to a socket with nothing outstanding is then read, and counted, with its next answer.
//   - In open loop at lower rates it sleeps until the next query is due or a datagram comes.
//   - One datagram to a socket is sent, or read, by the plain call, which costs less than the one for batches.
//
// With a socket for each query it has as much to do for one as a server: then neither is faster than the other.
//
// The loop allocates nothing.
package udp
