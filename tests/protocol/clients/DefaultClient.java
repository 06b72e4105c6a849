import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Posts each body twice with Java's client as it comes, which offers HTTP/2 to each new server: `URL BODY...`. */
class DefaultClient {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int place = 1; place < arguments.length; place++) {
            var request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(arguments[place]))
                .build();
            for (int time = 0; time < 2; time++) {
                var answer = client.send(request, BodyHandlers.ofString());
                System.out.println(answer.statusCode() + " " + answer.body());
            }
        }
    }
}
