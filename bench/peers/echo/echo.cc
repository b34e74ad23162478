// The echo in C++, by gRPC's callback API.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>

#include "codec.grpc.pb.h"

class Echo final : public kvrpc::v1::CodecService::CallbackService {
  grpc::ServerUnaryReactor* Encode(grpc::CallbackServerContext* context, const kvrpc::v1::EncodeRequest* request,
                                   kvrpc::v1::EncodeResponse* response) override {
    response->set_bits(request->text());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int main() {
  Echo echo;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::cerr << "127.0.0.1:" << port << std::endl;
  server->Wait();
}
