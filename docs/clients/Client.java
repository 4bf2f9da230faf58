// A client of SageAPI in Java 11 or newer, using only the standard library.
//
//     java Client.java http://127.0.0.1:8080 ak_... secret-file

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Client {
    private final HttpClient http = HttpClient.newHttpClient();
    private final String origin;
    private final String keyId;
    private final String secret;

    Client(String origin, String keyId, String secret) {
        this.origin = origin;
        this.keyId = keyId;
        this.secret = secret;
    }

    /** The request, signed as RFC 9421 specifies. Path and query are signed as they are sent. */
    HttpRequest signed(String method, String target, String body) throws Exception {
        URI uri = URI.create(origin + target);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(30));
        Map<String, String> parts = new LinkedHashMap<>();
        parts.put("@method", method);
        parts.put("@authority", uri.getRawAuthority());
        parts.put("@path", uri.getRawPath());
        if (uri.getRawQuery() != null) {
            parts.put("@query", "?" + uri.getRawQuery());
        }
        if (body != null) {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(body.getBytes(UTF_8));
            String digest = "sha-256=:" + base64(hash) + ":";
            request.header("Content-Type", "application/json").header("Content-Digest", digest);
            parts.put("content-digest", digest);
        }
        String names = parts.keySet().stream().map(name -> "\"" + name + "\"").collect(Collectors.joining(" "));
        String params = String.format(
            "(%s);created=%d;nonce=\"%s\";keyid=\"%s\";alg=\"hmac-sha256\";tag=\"sageapi\"",
            names, Instant.now().getEpochSecond(), random(16), keyId);
        StringBuilder base = new StringBuilder();
        parts.forEach((name, value) -> base.append("\"" + name + "\": " + value + "\n"));
        base.append("\"@signature-params\": ").append(params);
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret.getBytes(UTF_8), "HmacSHA256"));
        byte[] tag = mac.doFinal(base.toString().getBytes(UTF_8));
        return request
            .header("Signature-Input", "sig1=" + params)
            .header("Signature", "sig1=:" + base64(tag) + ":")
            .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body))
            .build();
    }

    void show(String method, String target, String body) throws Exception {
        var answer = http.send(signed(method, target, body), BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
    }

    static String base64(byte[] raw) {
        return Base64.getEncoder().encodeToString(raw);
    }

    static String random(int bytes) {
        byte[] raw = new byte[bytes];
        new SecureRandom().nextBytes(raw);
        StringBuilder text = new StringBuilder();
        for (byte b : raw) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    public static void main(String[] args) throws Exception {
        Client client = new Client(args[0], args[1], Files.readString(Path.of(args[2])).strip());
        client.show("GET", "/api/v1/balance", null);
        // If the response is lost, retry with the same transno: it is booked once.
        client.show("POST", "/api/v1/accounting", "{\"transno\":\"java-" + random(8) + "\",\"amount\":\"0.01\"}");
        client.show("GET", "/api/v1/accounting?limit=1", null);
    }
}
